"""Looks at what a stream holds on a NATS server, message by message, without taking anything.

Speaks JetStream's own API; opens no connection. For people's tools: readers of work use `pull`.
"""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from dalsegno_bus.bus import Kept, Span
from dalsegno_bus.nats.frames import Answer, ApiFault, Wire, read_headers
from dalsegno_bus.topology import Stream

_MISSING: Final = frozenset({10037, 10043, 10059})
"""No such message, none at this position any more, no such stream."""
_NOT_REMOVED: Final = 10057
"""Of a message that is not there, or that could not be removed: the number does not tell."""
_MICROSECONDS: Final = 6


@dataclass(frozen=True, kw_only=True)
class About:
    """What a server says of itself when it is connected to."""

    name: str
    version: str
    """Such as `2.12.1`."""
    has_jetstream: bool
    needs_tls: bool


def about(said: Mapping[str, Any]) -> About:
    """What stands in the server's own greeting."""
    return About(
        name=str(said.get("server_name", "")),
        version=str(said.get("version", "")),
        has_jetstream=bool(said.get("jetstream")),
        needs_tls=bool(said.get("tls_required")),
    )


async def span(wire: Wire, stream: Stream) -> Span:
    """See `bus.Bus.span`."""
    info = await _call(wire, f"STREAM.INFO.{stream.name}")
    state: Mapping[str, int] = {} if info is None else info["state"]
    count = state.get("messages", 0)
    return Span(state["first_seq"], state["last_seq"], count) if count else Span(0, 0, 0)


async def look(wire: Wire, stream: Stream, sequence: int) -> Kept | None:
    """See `bus.Bus.look`."""
    answer = await _call(wire, f"STREAM.MSG.GET.{stream.name}", {"seq": sequence})
    if answer is None:
        return None
    message: Mapping[str, Any] = answer["message"]
    return Kept(
        sequence=message["seq"],
        subject=message["subject"],
        body=b64decode(message.get("data", "")),
        headers=read_headers(b64decode(message.get("hdrs", ""))),
        stored_at=time_of(message["time"]),
    )


async def remove(wire: Wire, stream: Stream, sequence: int) -> bool:
    """See `bus.Bus.remove`."""
    try:
        answer = await _call(wire, f"STREAM.MSG.DELETE.{stream.name}", {"seq": sequence})
    except ApiFault as fault:
        if fault.err_code != _NOT_REMOVED or await look(wire, stream, sequence) is not None:
            raise
        return False
    return answer is not None


def time_of(text: str) -> datetime:
    """A time as the server writes it: to the nanosecond, without zeros at the end."""
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:_MICROSECONDS]:0<6}+00:00")


async def _call(wire: Wire, name: str, question: Mapping[str, Any] | None = None) -> Answer | None:
    body = b"" if question is None else orjson.dumps(question)
    try:
        return await wire.call(f"$JS.API.{name}", body)
    except ApiFault as fault:
        if fault.err_code in _MISSING:
            return None
        raise
