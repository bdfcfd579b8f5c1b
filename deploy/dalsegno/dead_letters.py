"""Finds dead letters, sends one again by the normal path, and takes one away.

A letter's position is its sequence in the stream of dead letters; it is never used twice. Asks
nobody before it acts: the command does.
"""

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter

from dalsegno_bus.bus import Bus, Kept, Outgoing
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import DecodeFailed, PublishFailed, UsageError
from dalsegno_bus.memory.state import matcher
from dalsegno_bus.messages import DeadLetter
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import dead_letters, inbox, tasks

RETRY_OF: Final = "ds-retry-of"
"""Header of what is sent again: the position of its letter."""
RETRY_BY: Final = "ds-retry-by"
"""Header of what is sent again: who wanted it."""
LOOKS_MAX: Final = 100
"""So many positions are looked at together."""

_LETTER: TypeAdapter[DeadLetter] = TypeAdapter(DeadLetter)

Outcome: TypeAlias = Literal["retried", "dropped", "missing", "refused"]


class Filed(BaseModel):
    """A dead letter, and where it lies."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Its position in the stream."""
    origin: str
    """Who could not use it."""
    at: datetime
    """When it was found to be of no use; when it was stored, if that is not known."""
    letter: DeadLetter | None
    """None: it is no dead letter of ours; `fault` says why."""
    fault: str = ""
    raw: bytes = b""
    """What lies there, where it is no letter of ours."""

    @property
    def reason(self) -> str:
        return self.letter.reason if self.letter else f"no dead letter of ours: {self.fault}"

    @property
    def subject(self) -> str:
        """Where it was sent; empty: that is not known."""
        return self.letter.subject if self.letter else ""

    @property
    def retry_of(self) -> int | None:
        """The position of the letter that this one was a retry of; None: it was none."""
        number = self.letter.headers.get(RETRY_OF, "") if self.letter else ""
        is_number = number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if is_number else None

    @property
    def body(self) -> bytes:
        """What was kept of the message."""
        if self.letter is None:
            return self.raw
        try:
            return base64.b64decode(self.letter.body_base64, validate=True)
        except ValueError:  # also of letters that base64 does not know
            return b""

    @property
    def is_cut(self) -> bool:
        """Whether the message was longer than what was kept of it."""
        return self.letter is not None and len(self.body) != self.letter.body_bytes

    def as_json(self) -> dict[str, Any]:
        """For programs; `body` is the message's own JSON, null where it has none."""
        return {
            "number": self.number,
            "origin": self.origin,
            "at": self.at.isoformat(),
            "reason": self.reason,
            "subject": self.subject,
            "retry_of": self.retry_of,
            "retried_by": self.letter.headers.get(RETRY_BY) if self.letter else None,
            "is_cut": self.is_cut,
            "body": read_json(self.body),
            "letter": self.letter.model_dump(mode="json") if self.letter else None,
            "fault": self.fault,
        }


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which letters are meant; nothing set: all of them."""

    reason: str = ""
    """Words that the reason has, in any case."""
    subject: str = ""
    """Where the message was sent: a subject, or a pattern with `*` and `>`."""
    origin: str = ""
    since: datetime | None = None

    @property
    def is_everything(self) -> bool:
        return self == Wanted()

    def test(self) -> Callable[[Filed], bool]:
        """Tells whether a letter is meant."""
        of_subject = matcher(self.subject) if self.subject else None
        words = self.reason.casefold()

        def fits(filed: Filed) -> bool:
            return (
                (not words or words in filed.reason.casefold())
                and (of_subject is None or of_subject(filed.subject))
                and (not self.origin or filed.origin == self.origin)
                and (self.since is None or filed.at >= self.since)
            )

        return fits


@dataclass(frozen=True, kw_only=True)
class Done:
    """What became of one letter."""

    number: int
    outcome: Outcome
    reason: str = ""
    """Why nothing was done."""

    @property
    def is_done(self) -> bool:
        return self.outcome in {"retried", "dropped"}

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"number": self.number, "outcome": self.outcome, "reason": self.reason}


async def find(
    bus: Bus, subjects: Subjects, wanted: Wanted, *, limit: int | None
) -> tuple[list[Filed], int]:
    """The newest letters that are meant, the newest first, and how many there are of any kind.

    Args:
        bus: Whom to ask.
        subjects: The names of the wire.
        wanted: Which letters are meant.
        limit: How many at most; None: all.

    Raises:
        Unavailable: JetStream does not answer.
        BusError: It answers with an error.
    """
    span = await bus.span(dead_letters(subjects))
    fits = wanted.test()
    found: list[Filed] = []
    number = span.last
    while number >= span.first and number > 0 and (limit is None or len(found) < limit):
        down_to = max(span.first, number - LOOKS_MAX + 1)
        numbers = range(number, down_to - 1, -1)
        found += [one for one in await named(bus, subjects, numbers) if one and fits(one)]
        number = down_to - 1
    return found[:limit], span.count


async def named(bus: Bus, subjects: Subjects, numbers: Sequence[int]) -> list[Filed | None]:
    """The letters at these positions, in this order; None where there is none.

    Raises:
        Unavailable: JetStream does not answer.
    """
    stream = dead_letters(subjects)
    found: list[Filed | None] = []
    for begin in range(0, len(numbers), LOOKS_MAX):
        async with asyncio.TaskGroup() as group:
            part = numbers[begin : begin + LOOKS_MAX]
            looks = [group.create_task(bus.look(stream, number)) for number in part]
        found += [None if kept is None else _filed(kept) for kept in (t.result() for t in looks)]
    return found


async def retry(bus: Bus, subjects: Subjects, filed: Filed, *, requested_by: str) -> Done:
    """Send the message again where it was sent, as it was, and take its letter away after that.

    If it is of no use again, whoever finds so files a new letter, with the headers that say whose
    retry it was. A crash in between leaves the letter, and the message is sent twice.

    Raises:
        Unavailable: The servers do not answer.
    """
    why_not = cannot_retry(filed, subjects)
    if why_not or filed.letter is None:
        return Done(number=filed.number, outcome="refused", reason=why_not)
    headers = {**filed.letter.headers, RETRY_OF: str(filed.number), RETRY_BY: requested_by}
    try:
        [outcome] = await bus.store([Outgoing(filed.subject, filed.body, headers)])
    except (PublishFailed, UsageError) as error:  # the latter: headers that cannot travel
        return Done(number=filed.number, outcome="refused", reason=str(error))
    if outcome == "refused":
        reason = "this attempt is queued or running: the letter is out of date, drop it"
        return Done(number=filed.number, outcome="refused", reason=reason)
    await bus.remove(dead_letters(subjects), filed.number)
    return Done(number=filed.number, outcome="retried")


async def drop(bus: Bus, subjects: Subjects, number: int) -> Done:
    """Take one letter away for good.

    Raises:
        Unavailable: The servers do not answer.
    """
    removed = await bus.remove(dead_letters(subjects), number)
    return Done(number=number, outcome="dropped") if removed else missing(number)


def missing(number: int) -> Done:
    """What becomes of a letter that is not there."""
    return Done(number=number, outcome="missing", reason="there is no letter at this position")


def cannot_retry(filed: Filed, subjects: Subjects) -> str:
    """Why the message cannot be sent again; empty: it can."""
    if filed.letter is None:
        return f"nobody knows where it was sent ({filed.fault})"
    if filed.is_cut:
        kept, whole = len(filed.body), filed.letter.body_bytes
        return f"only {kept} of its {whole} bytes were kept: have its sender send it again"
    patterns = (*inbox(subjects).subjects, *tasks(subjects).subjects)
    if not matcher(*patterns)(filed.subject):
        return f"no stream takes messages on {filed.subject!r}: have it sent to the right subject"
    return ""


def read_json(body: bytes) -> Any:
    """The JSON in these bytes; None where there is none that could be printed again."""
    try:
        found = orjson.loads(body)
        orjson.dumps(found)  # it writes less deep nesting than it reads
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return found


def _filed(kept: Kept) -> Filed:
    origin = kept.subject.rpartition(".")[2]
    try:
        letter = decode(_LETTER, kept.body)
    except DecodeFailed as error:
        return Filed(
            number=kept.sequence,
            origin=origin,
            at=kept.stored_at,
            letter=None,
            fault=str(error),
            raw=kept.body,
        )
    at = letter.at if letter.at.tzinfo else kept.stored_at
    return Filed(number=kept.sequence, origin=origin, at=at, letter=letter)
