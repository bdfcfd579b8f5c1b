"""What stands in the bucket of leases: who is there, and who owns which partition."""

import logging
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dalsegno_bus.bus import Entry
from dalsegno_bus.logs import log

_logger = logging.getLogger("dalsegno.orchestrator")

_RecordT = TypeVar("_RecordT", bound=BaseModel)


class Member(BaseModel):
    """An orchestrator that is there, as its key says."""

    model_config = ConfigDict(frozen=True)

    incarnation: str
    since: datetime
    """When it came; of two with one name the later one counts."""
    address: str = ""
    """Where to find it, for people."""


class Ownership(BaseModel):
    """Who owns a partition, as its key says."""

    model_config = ConfigDict(frozen=True)

    owner: str | None
    """None: it was given up."""
    incarnation: str
    epoch: Annotated[int, Field(ge=1)]
    """Grows by one whenever somebody takes it."""

    def is_same(self, other: "Ownership") -> bool:
        """Whether both are of one process."""
        return (self.owner, self.incarnation) == (other.owner, other.incarnation)


def encoded(record: BaseModel) -> bytes:
    """The bytes that stand under its key."""
    return record.model_dump_json().encode()


def member_of(entry: Entry) -> Member | None:
    """The member in an entry; None: it is gone, or nobody can read it."""
    return _read(Member, entry)


def ownership_of(entry: Entry) -> Ownership | None:
    """The ownership in an entry; None: it is gone, or nobody can read it."""
    return _read(Ownership, entry)


def _read(kind: type[_RecordT], entry: Entry) -> _RecordT | None:
    if entry.value is None:
        return None
    try:
        return kind.model_validate_json(entry.value)
    except ValidationError as error:
        log(_logger, "warning", "lease_not_understood", key=entry.key, reason=str(error))
        return None
