"""What is set as limits, and what is taken of them: the view that decisions are made on.

The truth lies in the store: the permits, which change in the transactions of the events that take
and give back. This is a copy with what was decided since; the store refuses a decision that was
made on an old one, and then it is read again. It never waits, and decides on no run.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_orchestrator.limits.settings import LimitSettings
from dalsegno_orchestrator.storage.permits import (
    Cap,
    GivenBack,
    PermitChange,
    PermitRow,
    caps_by_limit,
    fits,
)
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import (
    CompensationStarted,
    Permit,
    RunEnding,
    RunEvent,
    RunReopened,
    RunRewound,
    TaskAssigned,
)
from dalsegno_orchestrator.workflow.facts import Shortage
from dalsegno_orchestrator.workflow.grammar.policies import Limits as Declared
from dalsegno_orchestrator.workflow.grammar.terms import parse_rate
from dalsegno_orchestrator.workflow.run import Run

_WIDE: Final = (RunEnding, CompensationStarted, RunRewound, RunReopened)
"""They may end attempts of tasks that they do not name."""


@dataclass(slots=True)
class _Use:
    """What is taken of one limit."""

    standing: dict[tuple[UUID, str, int], float] = field(
        default_factory=dict[tuple[UUID, str, int], float]
    )
    amount: float = 0.0
    """The sum of what stands."""
    begun: deque[tuple[float, float]] = field(default_factory=deque[tuple[float, float]])
    """When how much was taken, as long as it counts for a rate; the oldest first."""
    begun_amount: float = 0.0

    def take(self, key: tuple[UUID, str, int], amount: float, at: float) -> None:
        self.standing[key] = amount
        self.amount += amount
        self.begun.append((at, amount))
        self.begun_amount += amount

    def give_back(self, key: tuple[UUID, str, int]) -> None:
        self.amount -= self.standing.pop(key, 0.0)
        if not self.standing:
            self.amount = 0.0  # sums of fractions drift

    def forget_until(self, at: float) -> None:
        """What was taken up to this moment counts no more."""
        while self.begun and self.begun[0][0] <= at:
            self.begun_amount -= self.begun.popleft()[1]
        if not self.begun:
            self.begun_amount = 0.0

    def leaves_room_at(self, amount: float, cap: Cap) -> float:
        """When so much may be taken as far as the rate goes, if nobody takes anything before."""
        assert cap.rate is not None
        left = self.begun_amount
        for at, one in self.begun:
            left -= one
            if fits(left + amount, cap.rate):
                return at + cap.rate_seconds
        return 0.0


class LimitsLedger:
    """The limits of a namespace. Implements `facts.Limits`. One loop reads and writes: no lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.settings = LimitSettings(store)
        self._uses: dict[str, _Use] = {}
        self._of_run: dict[UUID, dict[str, dict[int, set[str]]]] = {}
        """By run and task, which limits each attempt took of."""
        self._memory: dict[str, float] = {}
        """By limit, the longest time that a rate of it looked back, in seconds."""
        self._opens: dict[str, float] = {}
        """When a rate leaves room for somebody that asked."""
        self._freed: set[str] = set()

    # --- what decisions ask -------------------------------------------------------------------

    def is_set(self, limit: str) -> bool:
        return self.settings.cap(limit) is not None

    def shortage(
        self,
        wanted: Sequence[Permit],
        *,
        declared: Declared,
        taken: Mapping[str, float],
        now: datetime,
    ) -> Shortage | None:
        for permit in wanted:
            limit = permit.limit
            cap = self._cap(limit, declared)
            if cap is None:
                if limit.startswith("quota:"):
                    return Shortage(limit=limit, reason=_unset(limit))
                continue
            short = self._short(cap, permit.amount, taken.get(limit, 0.0), now)
            if short is not None:
                return short
        return None

    def never(self, wanted: Sequence[Permit], declared: Declared) -> str | None:
        """The limit that leaves no room for this whoever gives back what; None: none does."""
        for permit in wanted:
            cap = self._cap(permit.limit, declared)
            if cap is not None and not _possible(cap, permit.amount):
                return permit.limit
        return None

    # --- what was decided ---------------------------------------------------------------------

    def observe(self, run: Run, events: Sequence[RunEvent], now: datetime) -> PermitChange | None:
        """Count what was decided in a run (its events are folded in); None: no limit is touched."""
        held = self._of_run.get(run.id)
        if held is None and not any(
            isinstance(event, TaskAssigned) and event.permits for event in events
        ):
            return None
        at = now.timestamp()
        taken: list[PermitRow] = []
        caps: list[Cap] = []
        for event in events:
            if isinstance(event, TaskAssigned):
                for permit in event.permits:
                    taken.append(_row(run.id, event, permit, at))
                    cap = self._cap(permit.limit, run.plan.definition.limits)
                    if cap is not None:
                        caps.append(cap)
        for row in taken:
            self._take(row).forget_until(at - self._memory.get(row.limit, 0.0))
        over = self._over(run, events)
        for task_id, attempt in over:
            self._give_back(run.id, task_id, attempt)
        if not taken and not over:
            return None
        given_back = [
            GivenBack(run_id=run.id, task_id=task_id, attempt=attempt, at=at)
            for task_id, attempt in over
        ]
        return PermitChange(taken=taken, given_back=given_back, caps=caps_by_limit(caps))

    @property
    def has_news(self) -> bool:
        """Whether `freed`, or `settings.changed`, has anything to tell."""
        return bool(self._freed) or self.settings.has_news

    # --- what has room again ------------------------------------------------------------------

    def freed(self, now: datetime) -> set[str]:
        """Limits of which something may be had that could not be, since this was asked."""
        found, self._freed = self._freed, set()
        if self._opens:
            at = now.timestamp()
            due = [limit for limit, opens in self._opens.items() if opens <= at]
            for limit in due:
                del self._opens[limit]
            found.update(due)
        return found

    def next_opening(self) -> datetime | None:
        """When a rate leaves room for somebody that was refused; None: nobody waits for that."""
        return datetime.fromtimestamp(min(self._opens.values()), UTC) if self._opens else None

    # --- what is stored -----------------------------------------------------------------------

    def read_permits(self, limits: Sequence[str] | None = None) -> None:
        """Count anew what is taken of these limits (None: of all), as it is stored. Blocks.

        Nothing may be decided and not stored: it would be forgotten.
        """
        rows = self._store.permits(limits)
        before = set(self._uses) if limits is None else set(limits)
        for limit in before:
            use = self._uses.pop(limit, None)
            for run_id, task_id, attempt in () if use is None else use.standing:
                self._let_go(run_id, task_id, attempt, limit)
        for row in rows:
            if row.given_back_at is None:
                self._take(row)
            else:
                use = self._uses.setdefault(row.limit, _Use())
                use.begun.append((row.taken_at, row.amount))
                use.begun_amount += row.amount
        self._freed |= before | {row.limit for row in rows}

    # --- inside -------------------------------------------------------------------------------

    def _cap(self, limit: str, declared: Declared) -> Cap | None:
        if not limit.startswith("workflow:"):
            return self._remember(self.settings.cap(limit))
        if declared.concurrency is None and declared.rate is None:
            return None
        rate, seconds = (None, 60.0) if declared.rate is None else parse_rate(declared.rate)
        cap = Cap(limit=limit, concurrency=declared.concurrency, rate=rate, rate_seconds=seconds)
        return self._remember(cap)

    def _remember(self, cap: Cap | None) -> Cap | None:
        if cap is not None and cap.rate is not None:
            known = self._memory.get(cap.limit, 0.0)
            self._memory[cap.limit] = max(cap.rate_seconds, known)
        return cap

    def _short(self, cap: Cap, amount: float, taken: float, now: datetime) -> Shortage | None:
        limit = cap.limit
        if not _possible(cap, amount):
            most = min(most for most in (cap.concurrency, cap.rate) if most is not None)
            reason = f"it asks for {amount:g} of {limit}, which never allows more than {most:g}"
            return Shortage(limit=limit, reason=reason)
        use = self._uses.get(limit)
        if use is None:
            use = _Use()
        standing = use.amount + taken
        if cap.concurrency is not None and not fits(standing + amount, cap.concurrency):
            reason = f"{limit} is used up: {standing:g} of {cap.concurrency:g} taken"
            return Shortage(limit=limit, reason=reason)
        if cap.rate is None:
            return None
        at = now.timestamp()
        use.forget_until(at - self._memory.get(limit, cap.rate_seconds))
        begun = _begun_since(use, at - cap.rate_seconds) + taken
        if fits(begun + amount, cap.rate):
            return None
        opens = max(at, use.leaves_room_at(amount, cap)) if not taken else at
        self._opens[limit] = min(opens, self._opens.get(limit, opens))
        reason = (
            f"{limit} is used up: {begun:g} of {cap.rate:g} begun within {cap.rate_seconds:g} s"
        )
        return Shortage(limit=limit, reason=reason, until=now + timedelta(seconds=opens - at))

    def _take(self, row: PermitRow) -> _Use:
        use = self._uses.setdefault(row.limit, _Use())
        use.take((row.run_id, row.task_id, row.attempt), row.amount, row.taken_at)
        attempts = self._of_run.setdefault(row.run_id, {}).setdefault(row.task_id, {})
        attempts.setdefault(row.attempt, set()).add(row.limit)
        return use

    def _give_back(self, run_id: UUID, task_id: str, attempt: int) -> None:
        for limit in list(self._of_run[run_id][task_id][attempt]):
            self._uses[limit].give_back((run_id, task_id, attempt))
            self._let_go(run_id, task_id, attempt, limit)
            self._freed.add(limit)

    def _let_go(self, run_id: UUID, task_id: str, attempt: int, limit: str) -> None:
        tasks = self._of_run[run_id]
        attempts = tasks[task_id]
        limits = attempts[attempt]
        limits.discard(limit)
        if not limits:
            del attempts[attempt]
        if not attempts:
            del tasks[task_id]
        if not tasks:
            del self._of_run[run_id]

    def _over(self, run: Run, events: Sequence[RunEvent]) -> list[tuple[str, int]]:
        """The attempts that hold permits and are under way no more."""
        held = self._of_run.get(run.id)
        if held is None:
            return []
        if any(isinstance(event, _WIDE) for event in events) or not run.is_open:
            names = set(held)
        else:
            named = {str(getattr(event, "task_id", "")) for event in events}
            names = named & held.keys()
        over: list[tuple[str, int]] = []
        for name in names:
            task = run.tasks.get(TaskId(name)) if run.is_open else None
            opened = {} if task is None else task.opened
            over.extend((name, attempt) for attempt in held[name] if attempt not in opened)
        return over


class Newcomers:
    """The limits, as they are for a task that has not stood in line. Implements `facts.Limits`."""

    def __init__(self, ledger: LimitsLedger, is_waited_for: Callable[[str], bool]) -> None:
        self._ledger = ledger
        self._is_waited_for = is_waited_for

    def is_set(self, limit: str) -> bool:
        return self._ledger.is_set(limit)

    def shortage(
        self,
        wanted: Sequence[Permit],
        *,
        declared: Declared,
        taken: Mapping[str, float],
        now: datetime,
    ) -> Shortage | None:
        short = self._ledger.shortage(wanted, declared=declared, taken=taken, now=now)
        if short is not None:
            return short
        for permit in wanted:
            if self._is_waited_for(permit.limit):
                return Shortage(limit=permit.limit, reason=f"others wait for {permit.limit}")
        return None


class Served:
    """The limits, as they are for the first in line. Implements `facts.Limits`.

    `never` is the limit that what was asked for can never be had of.
    """

    def __init__(self, ledger: LimitsLedger) -> None:
        self._ledger = ledger
        self.never: str | None = None

    def is_set(self, limit: str) -> bool:
        return self._ledger.is_set(limit)

    def shortage(
        self,
        wanted: Sequence[Permit],
        *,
        declared: Declared,
        taken: Mapping[str, float],
        now: datetime,
    ) -> Shortage | None:
        short = self._ledger.shortage(wanted, declared=declared, taken=taken, now=now)
        if short is not None:
            self.never = self._ledger.never(wanted, declared)
        return short


def _begun_since(use: _Use, since: float) -> float:
    if not use.begun or use.begun[0][0] > since:
        return use.begun_amount
    return sum(amount for at, amount in use.begun if at > since)


def _possible(cap: Cap, amount: float) -> bool:
    return all(most is None or fits(amount, most) for most in (cap.concurrency, cap.rate))


def _row(run_id: RunId, event: TaskAssigned, permit: Permit, at: float) -> PermitRow:
    return PermitRow(
        limit=permit.limit,
        run_id=run_id,
        task_id=event.task_id,
        attempt=event.attempt,
        amount=permit.amount,
        taken_at=at,
    )


def _unset(limit: str) -> str:
    return f"{limit} is not set: dalsegno limits set {limit} --concurrency N or --rate N/m"
