"""What a person sees of a run that goes on: every task, where it is, and where the time goes.

A scene is put together from what the projections know (`RunDetail`) and what is heard live; it
draws itself for a given moment. Knows no connection and no clock.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from dalsegno.output import cell, clean, seconds, status, table
from dalsegno_bus.messages import AttemptStarted, Output, RunChanged
from dalsegno_bus.watching import Change
from dalsegno_projections.questions import RunDetail, TaskSummary

ITEMS_SHOWN: Final = 12
_WORDS_MAX: Final = 200


@dataclass
class Attempt:
    """What is heard of one attempt while it goes on."""

    started_at: datetime | None = None
    fraction: float | None = None
    message: str = ""

    @property
    def words(self) -> str:
        """How far it is."""
        share = "" if self.fraction is None else f"{self.fraction:4.0%} "
        return f"{share}{self.message}".strip()


@dataclass
class Scene:
    """One run, as far as it was told.

    `steps` are the tasks of the definition, in its order: those that have not begun are shown too.
    """

    steps: tuple[str, ...] = ()
    detail: RunDetail | None = None
    status: str = "running"
    version: int = 0
    """The newest event that was heard of; the detail may be behind."""
    attempts: dict[tuple[str, int], Attempt] = field(default_factory=dict[tuple[str, int], Attempt])

    def hear(self, change: Change) -> None:
        """Take in what was heard live; pieces of output are not for a table."""
        if isinstance(change, Output):
            return
        if isinstance(change, RunChanged):
            self.status, self.version = change.status, max(self.version, change.version)
            return
        attempt = self.attempts.setdefault((change.task_id, change.attempt), Attempt())
        if isinstance(change, AttemptStarted):
            attempt.started_at = change.at
        else:
            attempt.started_at = attempt.started_at or change.at  # its start was missed
            attempt.fraction, attempt.message = change.fraction, clean(change.message)[:_WORDS_MAX]

    def look(self, detail: RunDetail) -> None:
        """Take in what the projections know."""
        if self.detail is None or detail.run.version >= self.detail.run.version:
            self.detail = detail

    @property
    def is_behind(self) -> bool:
        """Whether more was heard of than the detail holds."""
        return self.detail is None or self.detail.run.version < self.version

    def waiting_for_signal(self, signal: str) -> TaskSummary | None:
        """The task that waits for this signal now."""
        for task in self.tasks:
            if task.status == "waiting" and task.signal == signal:
                return task
        return None

    @property
    def tasks(self) -> list[TaskSummary]:
        """What has begun, in the order of the definition."""
        if self.detail is None:
            return []
        order = {step: index for index, step in enumerate(self.steps)}
        last = len(order)

        def place(task: TaskSummary) -> tuple[int, str, int]:
            item = -1 if task.index is None else task.index
            return order.get(task.step, last), task.step, item

        return sorted(self.detail.tasks, key=place)

    @property
    def shown(self) -> list[TaskSummary]:
        """The tasks without the items of a `foreach` that has many: those are only counted."""
        items = Counter(task.step for task in self.tasks if task.index is not None)
        return [
            task for task in self.tasks if task.index is None or items[task.step] <= ITEMS_SHOWN
        ]

    def draw(self, now: datetime, width: int) -> Table:
        """The tasks as a table of so many columns, as they stand at `now` (UTC)."""
        rows: list[tuple[str | Text, ...]] = [self._row(task, now) for task in self.shown]
        begun = {task.step for task in self.tasks}
        rows.extend((cell(step, "dim"), *([""] * 6)) for step in self.steps if step not in begun)
        headers = ("Task", "State", "Agent", ">Try", ">Waited", ">Worked", "~Progress")
        return table(*headers, rows=rows, width=width)

    def changes(self, before: dict[str, str]) -> list[str]:
        """One line for each task that is not as in `before`, which is brought up to date."""
        lines: list[str] = []
        for task in self.shown:
            where = f" {task.agent}" if task.agent else ""
            again = f" (attempt {task.attempt})" if task.attempt > 1 else ""
            now = f"{task.status}{where}{again}"
            if before.get(task.task_id) != now:
                before[task.task_id] = now
                words = clean(_words(task, Attempt()))
                lines.append(f"{task.task_id:<16} {now}{': ' if words else ''}{words}")
        return lines

    def _row(self, task: TaskSummary, now: datetime) -> tuple[str | Text, ...]:
        attempt = self.attempts.get((task.task_id, task.attempt), Attempt())
        waited, worked = _times(task, attempt, now)
        return (
            cell(task.task_id, indent=0 if task.role == "step" else 2),
            status("working" if task.status == "assigned" and attempt.started_at else task.status),
            cell(task.agent or ""),
            str(task.attempt) if task.attempt else "",
            seconds(waited) if waited is not None else "",
            seconds(worked) if worked is not None else "",
            cell(_words(task, attempt)),
        )


def _times(task: TaskSummary, attempt: Attempt, now: datetime) -> tuple[float | None, float | None]:
    """How long the newest attempt waited and worked, in seconds, so far."""
    if task.status == "waiting":
        return _since(task.changed_at, now), None
    if task.assigned_at is None:
        return None, None
    if task.status == "assigned":
        started = attempt.started_at
        if started is None:
            return _since(task.assigned_at, now), None
        return _since(task.assigned_at, started), max(0.0, (now - started).total_seconds())
    return task.queue_seconds, task.work_seconds


def _since(iso: str, now: datetime) -> float:
    return max(0.0, (now - datetime.fromisoformat(iso)).total_seconds())


def _words(task: TaskSummary, attempt: Attempt) -> str:
    """What there is to say of a task in a few words."""
    match task.status:
        case "parked":
            return task.parked_reason or "no agent can do it now"
        case "waiting":
            return f"for {task.signal!r}"
        case "retrying" | "failed":
            return task.error_message or ""
        case "expanded" | "repeating" if task.items:
            what = "items" if task.status == "expanded" else "times"
            return f"{task.items_over} of {task.items} {what}"
        case "delegated":
            return f"run {task.child_run}"
        case "assigned":
            return attempt.words
        case _:
            return ""
