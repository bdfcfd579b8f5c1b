"""The permits that attempts took of limits: rows that come and go with the events, never alone.

A row is written by the transaction that records the assignment, and marked as given back by the one
that records the end of the attempt. What is taken of a limit is a sum over these rows, so there is
no counter that could leak. The same transaction checks the sums against the caps of whoever takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from dalsegno_bus.errors import LimitsExceeded

TOLERANCE: Final = 1e-9
"""Share of a cap by which a sum of fractions may be above it."""
COLUMNS: Final = "limit_key, run_id, task_id, attempt, amount, taken_at, given_back_at"
"""Of a row, in the order of `PermitRow`."""
SWEPT_MAX: Final = 500
"""So many rows that count no more are deleted with one append, of each limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitRow:
    """What one attempt took of one limit."""

    limit: str
    run_id: UUID
    task_id: str
    attempt: int
    amount: float
    taken_at: float
    """Seconds since 1970-01-01 (UTC)."""
    given_back_at: float | None = None
    """None: it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """An attempt that is over: whatever it took stands no more."""

    run_id: UUID
    task_id: str
    attempt: int
    at: float
    """Seconds since 1970-01-01 (UTC)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """How much of a limit may stand, and be taken in a time; None: any amount."""

    limit: str
    concurrency: float | None = None
    rate: float | None = None
    """How much may be taken within `rate_seconds`."""
    rate_seconds: float = 60.0

    @property
    def memory_seconds(self) -> float:
        """How long a permit that was given back still counts."""
        return 0.0 if self.rate is None else self.rate_seconds

    def or_wider(self, other: "Cap") -> "Cap":
        """What either of the two allows."""
        return Cap(
            limit=self.limit,
            concurrency=_wider(self.concurrency, other.concurrency),
            rate=_wider(self.rate, other.rate),
            rate_seconds=max(self.rate_seconds, other.rate_seconds),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitChange:
    """What one transaction does to the permits."""

    taken: Sequence[PermitRow] = ()
    given_back: Sequence[GivenBack] = ()
    caps: Mapping[str, Cap] = field(default_factory=dict[str, Cap])
    """By limit, what has to hold of those that `taken` touches."""
    limits_version: int | None = None
    """How many facts of the stream of limits this was decided with; None: with none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What has to hold of one limit when a transaction ends."""

    cap: Cap
    since: float
    """What was taken after this moment counts for the rate."""

    def judge(self, standing: float, taken: float) -> None:
        """Let these sums pass, or not.

        Raises:
            LimitsExceeded: One of them is above its cap.
        """
        cap = self.cap
        for name, amount, most in (
            ("at the same time", standing, cap.concurrency),
            (f"within {cap.rate_seconds:g} s", taken, cap.rate),
        ):
            if most is not None and not fits(amount, most):
                raise LimitsExceeded(
                    f"{cap.limit} allows {most:g} {name} and would stand at {amount:g}: somebody "
                    "else took of it; read the permits again and decide again"
                )


def checks_of(change: PermitChange) -> list[Check]:
    """What to look at after this change: each limit that was taken of and that has a cap."""
    newest: dict[str, float] = {}
    for row in change.taken:
        newest[row.limit] = max(row.taken_at, newest.get(row.limit, row.taken_at))
    return [
        Check(cap=cap, since=at - cap.memory_seconds)
        for limit, at in newest.items()
        if (cap := change.caps.get(limit)) is not None
    ]


def caps_by_limit(caps: Iterable[Cap]) -> dict[str, Cap]:
    """By limit; where versions of a workflow differ, what the most generous of them says."""
    found: dict[str, Cap] = {}
    for cap in caps:
        known = found.get(cap.limit)
        found[cap.limit] = cap if known is None else known.or_wider(cap)
    return found


def together(changes: Sequence[PermitChange], *, limits_version: int) -> PermitChange:
    """Several changes as one, decided with so many facts of the stream of limits."""
    return PermitChange(
        limits_version=limits_version,
        taken=[row for change in changes for row in change.taken],
        given_back=[over for change in changes for over in change.given_back],
        caps=caps_by_limit(cap for change in changes for cap in change.caps.values()),
    )


def judge_version(known: int | None, stored: int) -> None:
    """Let a change pass that was decided with the newest limits.

    Raises:
        LimitsExceeded: They have changed since.
    """
    if known is not None and stored != known:
        raise LimitsExceeded(
            f"the limits were changed (fact {stored}, known are {known}): somebody else set one; "
            "read them again and decide again"
        )


def fits(amount: float, most: float) -> bool:
    """Whether so much is within the cap."""
    return amount <= most * (1.0 + TOLERANCE)


def row_of(columns: Sequence[Any]) -> PermitRow:
    """The row with these columns of a database, in the order of its fields."""
    limit, run_id, task_id, attempt, amount, taken_at, given_back_at = columns
    return PermitRow(
        limit=limit,
        run_id=run_id if isinstance(run_id, UUID) else UUID(run_id),
        task_id=task_id,
        attempt=attempt,
        amount=amount,
        taken_at=taken_at,
        given_back_at=given_back_at,
    )


def _wider(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
