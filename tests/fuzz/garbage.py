"""Bad bytes, the same for the same seed: random ones, random JSON, valid messages gone wrong."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import orjson

NESTED: Final = 10_000
"""How deep the deepest values are nested."""
NUMBERS: Final = (
    b"1e999", b"-1e999", b"9" * 400, b"-0", b"1e-400", b"18446744073709551616", b"NaN",
    b"Infinity", b"-9223372036854775809", b"0.1e+", b"1" + b"0" * 5_000,
)  # fmt: skip
TEXTS: Final = (
    "", "\x00", "a\x00b", "\ufffd", "\U0010ffff", "é" * 300, "x" * 70_000, ".", "*", ">", "a.b",
    " ", "-", "..", "/../..", "$claim", "__proto__", "1", "null", "\r\nce-id: x", "${ input }",
    "${ 1/0 }", "${ " + "(" * 500, "2026-01-01T00:00:00Z", "task-completed.v1", "start-run.v9",
)  # fmt: skip
KEYS: Final = (
    "kind",
    "run_id",
    "task_id",
    "attempt",
    "agent",
    "input",
    "output",
    "$claim",
    "",
    "v",
)


class Garbage:
    """Makes bad bytes.

    Args:
        random: Where chance comes from.
    """

    def __init__(self, random: Random) -> None:
        self.random = random

    def body(self, samples: Sequence[bytes]) -> bytes:
        """One body: most are near to being one of these valid messages."""
        make: Callable[[Sequence[bytes]], bytes] = self.random.choices(
            (self._bytes, self._json, self._changed, self._torn, self._nested, self._doubled,
             self._number, self._valid),
            (2, 2, 6, 4, 1, 1, 2, 1),
        )[0]  # fmt: skip
        try:
            return make(samples)
        except orjson.JSONDecodeError:  # no JSON even when it is valid: TOML, say
            return self._torn(samples)

    def text(self) -> str:
        """A text that something may stumble over."""
        if self.random.random() < 0.5:
            return self.random.choice(TEXTS)
        size = self.random.randrange(30)
        return "".join(chr(self._codepoint()) for _ in range(size))

    def headers(self) -> dict[str, str]:
        """Headers as a broken or hostile client would send them."""
        names = ("ce-id", "ds-reply", "ds-request", "traceparent", "ce-type", "x")
        picked = self.random.sample(names, self.random.randrange(4))
        return {name: self._header() for name in picked}

    def value(self, depth: int = 0) -> Any:
        """Any JSON."""
        chance = self.random.random()
        if depth > 4 or chance < 0.5:
            return self.random.choice(
                (None, True, False, 0, -1, 2**63 - 1, -(2**63), 1e308, 5e-324, 0.1, self.text())
            )
        if chance < 0.75:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {
            self.random.choice((*KEYS, self.text())): self.value(depth + 1)
            for _ in range(self.random.randrange(4))
        }

    def _bytes(self, samples: Sequence[bytes]) -> bytes:
        return self.random.randbytes(self.random.randrange(200))

    def _json(self, samples: Sequence[bytes]) -> bytes:
        return orjson.dumps(self.value())

    def _valid(self, samples: Sequence[bytes]) -> bytes:
        return self.random.choice(samples)

    def _changed(self, samples: Sequence[bytes]) -> bytes:
        """A field of a valid message has another value, or is gone, or is one too many."""
        message: dict[str, Any] = orjson.loads(self.random.choice(samples))
        for _ in range(self.random.randrange(1, 4)):
            holder: Any = message
            while True:
                inner: list[Any] = [one for one in _values(holder) if one and _is_holder(one)]
                if not inner or self.random.random() < 0.5:
                    break
                holder = self.random.choice(inner)
            self._change(holder)
        return orjson.dumps(message)

    def _change(self, holder: Any) -> None:
        if isinstance(holder, list):
            holder[self.random.randrange(len(holder))] = self.value()  # pyright: ignore[reportUnknownArgumentType] - any JSON
            return
        chance = self.random.random()
        if chance < 0.6 and holder:
            holder[self.random.choice(list(holder))] = self.value()
        elif chance < 0.8 and holder:
            del holder[self.random.choice(list(holder))]
        else:
            holder[self.random.choice((*KEYS, self.text()))] = self.value()

    def _torn(self, samples: Sequence[bytes]) -> bytes:
        """Bytes of a valid message are lost, doubled, overwritten."""
        body = bytearray(self.random.choice(samples))
        for _ in range(self.random.randrange(1, 6)):
            if not body:
                break
            at = self.random.randrange(len(body))
            chance = self.random.random()
            if chance < 0.4:
                body[at] = self.random.choice((0, 0x22, 0x5C, 0xC3, 0xED, 0xFF, 0x7B, 0x7D, 0x39))
            elif chance < 0.6:
                del body[at : at + self.random.randrange(1, 20)]
            elif chance < 0.8:
                body[at:at] = body[at : at + 20]
            else:
                body[at:at] = self.random.choice((b"\\ud800", b"\xed\xa0\x80", b"\\u0000", b"\x00"))
        return bytes(body)

    def _nested(self, samples: Sequence[bytes]) -> bytes:
        deep = self.random.choice((50, 180, 195, 197, 198, 199, 200, 250, 1_000, NESTED))
        opening, closing = self.random.choice(((b"[", b"]"), (b'{"a":', b"}")))
        nested = opening * deep + b"1" + closing * deep
        if self.random.random() < 0.3:
            nested = opening * deep
        return self._with(samples, nested)

    def _number(self, samples: Sequence[bytes]) -> bytes:
        return self._with(samples, self.random.choice(NUMBERS))

    def _doubled(self, samples: Sequence[bytes]) -> bytes:
        """A key comes twice."""
        body = self.random.choice(samples)
        key = orjson.dumps(self.random.choice(list(orjson.loads(body))))
        return body[:-1] + b"," + key + b":" + orjson.dumps(self.value()) + b"}"

    def _with(self, samples: Sequence[bytes], raw: bytes) -> bytes:
        """A valid message with these bytes as the value of one of its fields."""
        fields: dict[str, Any] = orjson.loads(self.random.choice(samples))
        fields[self.random.choice(list(fields))] = orjson.Fragment(raw)
        return orjson.dumps(fields)

    def _codepoint(self) -> int:
        code = self.random.choice((self.random.randrange(128), self.random.randrange(0x11_0000)))
        return 0x41 if 0xD800 <= code < 0xE000 else code

    def _header(self) -> str:
        """What a server lets through: no line ends in it."""
        text = self.text()[:2_000].replace("\r", "").replace("\n", "").replace("\x00", "")
        return self.random.choice((text, "a b", "$JS.API.STREAM.DELETE.X", "x" * 300, "fuzz.run.0"))


def _is_holder(value: Any) -> bool:
    return isinstance(value, dict | list)


def _values(holder: Any) -> list[Any]:
    return list(holder.values()) if isinstance(holder, dict) else list(holder)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType, reportUnknownMemberType] - any JSON
