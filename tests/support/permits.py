"""Limits as a test sets them: what one run has taken, in plain sight."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from dalsegno_bus.ids import TaskId
from dalsegno_orchestrator.workflow.events import Permit, RunEvent, TaskAssigned
from dalsegno_orchestrator.workflow.facts import Shortage
from dalsegno_orchestrator.workflow.grammar.policies import Limits as Declared
from dalsegno_orchestrator.workflow.grammar.terms import parse_rate
from dalsegno_orchestrator.workflow.run import Run


class Permits:
    """Limits of a test; a permit is given back when its attempt is no longer under way."""

    def __init__(self) -> None:
        self.concurrency: dict[str, float] = {}
        self.rates: dict[str, tuple[float, float]] = {}
        self._taken: list[tuple[Permit, str, int, datetime]] = []
        self._run: Run | None = None

    def set(self, limit: str, concurrency: float | None = None, rate: str | None = None) -> None:
        if concurrency is not None:
            self.concurrency[limit] = concurrency
        if rate is not None:
            self.rates[limit] = parse_rate(rate)

    def note(self, run: Run, events: Sequence[RunEvent], at: datetime) -> None:
        """What a decision took."""
        self._run = run
        for event in events:
            if isinstance(event, TaskAssigned):
                taken = [(permit, event.task_id, event.attempt, at) for permit in event.permits]
                self._taken.extend(taken)

    def held(self, limit: str) -> float:
        """What is taken of a limit now."""
        return sum(
            permit.amount
            for permit, task_id, attempt, _ in self._taken
            if permit.limit == limit and self._is_under_way(task_id, attempt)
        )

    def is_set(self, limit: str) -> bool:
        return limit in self.concurrency or limit in self.rates

    def shortage(
        self,
        wanted: Sequence[Permit],
        *,
        declared: Declared,
        taken: Mapping[str, float],
        now: datetime,
    ) -> Shortage | None:
        for permit in wanted:
            name = permit.limit
            at_once, rate = self.concurrency.get(name), self.rates.get(name)
            if name.startswith("workflow:"):
                at_once = declared.concurrency
                rate = None if declared.rate is None else parse_rate(declared.rate)
            more = taken.get(name, 0.0) + permit.amount
            if at_once is not None and self.held(name) + more > at_once:
                return Shortage(limit=name, reason=f"{name} is used up: {at_once:g} at once")
            if rate is not None and self._recent(name, rate[1], now) + more > rate[0]:
                until = now + timedelta(seconds=rate[1])
                return Shortage(limit=name, reason=f"{name} is used up for now", until=until)
        return None

    def _recent(self, limit: str, seconds: float, now: datetime) -> float:
        since = now - timedelta(seconds=seconds)
        return sum(p.amount for p, _, _, at in self._taken if p.limit == limit and at > since)

    def _is_under_way(self, task_id: str, attempt: int) -> bool:
        task = None if self._run is None else self._run.assigned.get(TaskId(task_id))
        return task is not None and attempt in task.opened
