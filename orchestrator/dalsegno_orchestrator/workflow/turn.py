"""One decision under way: what is known, what came in, what follows, fact by fact.

`decider` makes a `Turn` for each message, and `rules` add to it; nobody else does.
"""

from collections.abc import Sequence

from dalsegno_bus.messages import Problem, Report
from dalsegno_orchestrator.workflow.events import RunEvent, TaskAssigned
from dalsegno_orchestrator.workflow.evolve import evolve
from dalsegno_orchestrator.workflow.facts import Facts
from dalsegno_orchestrator.workflow.run import Run, Task


class Refused(Exception):
    """What was asked for cannot be done; nothing was recorded. Every reason is listed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    @classmethod
    def because(cls, message: str, *, path: str = "", suggestion: str | None = None) -> "Refused":
        """Refused for one reason."""
        return cls([Problem(message=message, path=path, suggestion=suggestion)])


class Turn:
    """One decision: the run, what is known, and the facts so far."""

    def __init__(self, run: Run, facts: Facts) -> None:
        self.run = run
        self.facts = facts
        self.events: list[RunEvent] = []
        self.given: dict[str, int] = {}
        """By agent, the attempts that this very decision gave it."""
        self.taken: dict[str, float] = {}
        """By limit, what this very decision took of it."""

    def record(self, event: RunEvent) -> None:
        """Add a fact, and fold it into the run."""
        self.events.append(event)
        evolve(self.run, event, self.facts.now)
        if type(event) is TaskAssigned:
            self.given[event.agent] = self.given.get(event.agent, 0) + 1
            for permit in event.permits:
                self.taken[permit.limit] = self.taken.get(permit.limit, 0.0) + permit.amount


def awaited_task(run: Run, report: Report) -> Task | None:
    """The task whose attempt this report is about, if the attempt is under way with its agent."""
    task = run.assigned.get(report.task_id)  # pyright: ignore[reportArgumentType] - a task's id
    if task is None:
        return None
    opened = task.opened.get(report.attempt)
    return task if opened is not None and opened.agent == report.agent else None


def is_awaited(run: Run, report: Report) -> bool:
    """Whether this report is about an attempt that is under way, by the agent that has it."""
    return awaited_task(run, report) is not None
