"""Reads the dead letters, newest first, without taking them from the stream.

The bus has no way to look into a stream without consuming it, so this asks JetStream by the names
of its own API (docs.nats.io, "JetStream wire API"); nothing else here does.
"""

import base64
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import BusError, DecodeFailed
from dalsegno_bus.messages import DeadLetter
from dalsegno_bus.subjects import Subjects

_SECONDS: Final = 5.0
_NOT_FOUND: Final = 404
_LETTER: TypeAdapter[DeadLetter] = TypeAdapter(DeadLetter)


class Filed(BaseModel):
    """A dead letter, and where it lies."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Its position in the stream."""
    origin: str
    """Who could not use it."""
    letter: DeadLetter | None
    """None: it is no dead letter of ours; `fault` says why."""
    fault: str = ""


async def newest(bus: Bus, subjects: Subjects, *, limit: int) -> tuple[list[Filed], int]:
    """The newest dead letters, the newest first, and how many there are in all.

    Raises:
        Unavailable: JetStream does not answer.
        BusError: It answers with an error.
    """
    info = await _call(bus, f"STREAM.INFO.{subjects.dead_stream}", {})
    if info is None:
        return [], 0
    state: dict[str, int] = info["state"]
    found: list[Filed] = []
    number = state["last_seq"]
    while number >= state["first_seq"] and number > 0 and len(found) < limit:
        answer = await _call(bus, f"STREAM.MSG.GET.{subjects.dead_stream}", {"seq": number})
        if answer is not None:
            found.append(_filed(number, answer["message"]))
        number -= 1
    return found, state["messages"]


async def _call(bus: Bus, name: str, question: dict[str, Any]) -> dict[str, Any] | None:
    """One call of the API; None where it finds nothing."""
    request = Outgoing(f"$JS.API.{name}", orjson.dumps(question) if question else b"")
    heard = await bus.ask(request, timeout_seconds=_SECONDS)
    answer: dict[str, Any] = orjson.loads(heard.body)
    error: dict[str, Any] | None = answer.get("error")
    if error is None:
        return answer
    if error.get("code") == _NOT_FOUND:
        return None
    raise BusError(f"JetStream refuses {name}: {error.get('description')}")


def _filed(number: int, message: dict[str, Any]) -> Filed:
    origin = str(message["subject"]).rpartition(".")[2]
    try:
        letter = decode(_LETTER, base64.b64decode(message.get("data", "")))
    except DecodeFailed as error:
        return Filed(number=number, origin=origin, letter=None, fault=str(error))
    return Filed(number=number, origin=origin, letter=letter)
