"""How a fact becomes bytes in the history and back, and the chain that ties a run's facts together.

Every recorded event carries when, by whom and in answer to which message it was recorded, and the
digest of the event before it in its stream. A digest covers the stream, the version, the kind and
the stored bytes (which hold the digest before), so that a changed, removed, inserted or reordered
event shows. The trace id of a run is its own id, so it is not stored again.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from dalsegno_bus.errors import StoreError
from dalsegno_orchestrator.workflow.events import EVENT_TYPES, Event

NO_DIGEST: Final = b""
"""What the first event of a stream is chained to."""


class UnreadableEvent(StoreError):
    """An event is there, and its bytes are not understood here: upgrade, or look what wrote it."""

    code = "store.unreadable"

    def __init__(self, reason: str, at: tuple[UUID, int, str, int]) -> None:
        super().__init__(reason, at)
        self.stream_id, self.version, self.kind, self.position = at

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One event of the history, and where it lies.

    `version` counts from 1 within its stream, without gaps. `position` grows over all streams and
    may skip numbers: compare it, never count with it; 0 until it was read from the store.
    """

    stream_id: UUID
    """A run's id, or a workflow's."""
    version: int
    at: datetime
    """When it was recorded (UTC)."""
    by: str
    """Who made it happen: `client:…`, `agent:name/replica`, `orchestrator:…`."""
    cause: str
    """Id of the message it answers."""
    previous: bytes
    """Digest of the event before it in its stream; empty for the first."""
    event: Event
    digest: bytes
    position: int = 0

    @property
    def originator_id(self) -> UUID:
        return self.stream_id

    @property
    def originator_version(self) -> int:
        return self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An event as bytes, chained to the one before it: ready to be stored."""

    stream_id: UUID
    version: int
    kind: str
    state: bytes
    digest: bytes


def seal(
    stream_id: UUID,
    version: int,
    event: Event,
    *,
    at: datetime,
    by: str,
    cause: str,
    previous: bytes,
) -> Sealed:
    """Turn a fact into what is stored."""
    state = orjson.dumps(
        {
            "at": at,
            "by": by,
            "cause": cause,
            "prev": previous.hex(),
            "event": orjson.Fragment(event.__pydantic_serializer__.to_json(event)),
        }
    )
    return Sealed(
        stream_id=stream_id,
        version=version,
        kind=event.kind,
        state=state,
        digest=digest_of(stream_id, version, event.kind, state),
    )


def unseal(stream_id: UUID, version: int, kind: str, state: bytes, position: int = 0) -> Recorded:
    """The event in these bytes.

    Raises:
        UnreadableEvent: The kind is not known here (a newer version wrote it?) or the bytes do
            not fit.
    """
    place = (stream_id, version, kind, position)
    event_type = EVENT_TYPES.get(kind)
    if event_type is None:
        raise UnreadableEvent(
            f"event {version} of {stream_id} is of the unknown kind {kind!r}: "
            "was it written by a newer Dalsegno? Upgrade this service",
            place,
        )
    try:
        stored: dict[str, Any] = orjson.loads(state)
        return Recorded(
            stream_id=stream_id,
            version=version,
            at=datetime.fromisoformat(stored["at"]),
            by=stored["by"],
            cause=stored["cause"],
            previous=bytes.fromhex(stored["prev"]),
            event=event_type.model_validate(stored["event"]),
            digest=digest_of(stream_id, version, kind, state),
            position=position,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableEvent(
            f"event {version} of {stream_id} ({kind}) cannot be read: {error}", place
        ) from error


def digest_of(stream_id: UUID, version: int, kind: str, state: bytes) -> bytes:
    """The digest that the next event of the stream carries: 32 bytes, SHA-256 (FIPS 180-4)."""
    head = stream_id.bytes + version.to_bytes(8, "big") + kind.encode() + b"\n"
    return hashlib.sha256(head + state).digest()
