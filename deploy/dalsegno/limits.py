"""Limits as the command line shows them: how they are set, what is taken, who waits. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from dalsegno.output import cell, counted, moment, table
from dalsegno.shown import short_ids
from dalsegno_projections.questions import LimitSummary, LimitUse, LimitWaiters, TaskSummary

_UNITS: Final[Mapping[float, str]] = {1.0: "s", 60.0: "m", 3_600.0: "h", 86_400.0: "d"}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A task that waits for a limit."""

    run_id: str
    workflow: str
    task_id: str
    reason: str
    since: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One limit: how it is set (None: it is not, or a workflow declares it), and what of it is."""

    limit: str
    setting: LimitSummary | None
    use: LimitUse
    waiting: Sequence[Waiting]
    runs_waiting: int
    """All of them; `waiting` may have only the tasks of the first ones."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "limit": self.limit,
            "setting": None if self.setting is None else self.setting.model_dump(mode="json"),
            "taken": self.use.amount,
            "begun": self.use.begun,
            "holders": [one.model_dump(mode="json") for one in self.use.holders],
            "waiting": [one.as_json() for one in self.waiting],
            "runs_waiting": self.runs_waiting,
        }


def in_words(concurrency: float | None, rate: float | None, rate_seconds: float) -> str:
    """How much a limit allows: `5 at the same time, 100/m`."""
    words: list[str] = []
    if concurrency is not None:
        words.append(f"{concurrency:g} at the same time")
    if rate is not None:
        words.append(f"{rate:g}{_per(rate_seconds)}")
    return ", ".join(words) or "no limit"


def limits_table(found: Sequence[LimitSummary], waiting: Sequence[LimitWaiters]) -> Table:
    """A line for each limit that is set, and for each that somebody waits for."""
    waits = {one.limit: one for one in waiting}
    rows: list[tuple[str | Text, ...]] = [
        (
            cell(one.limit),
            "-" if one.concurrency is None else f"{one.concurrency:g}",
            "-" if one.rate is None else f"{one.rate:g}{_per(one.rate_seconds)}",
            _waits(waits.pop(one.limit, None)),
            cell(f"by {one.set_by}"),
        )
        for one in found
    ]
    for limit, one in sorted(waits.items()):
        note = "declared by the workflow" if limit.startswith("workflow:") else "is not set"
        rows.append((cell(limit), "-", "-", _waits(one), cell(note, "bold yellow")))
    return table("Limit", ">At once", ">Rate", ">Waiting", "*Note", rows=rows)


def standing_lines(one: Standing) -> Iterator[Text]:
    """What there is to say of a limit, above its tables."""
    yield Text.assemble("limit    ", cell(one.limit))
    setting = one.setting
    if setting is not None:
        allowed = in_words(setting.concurrency, setting.rate, setting.rate_seconds)
        yield Text.assemble("allows   ", allowed)
        yield Text.assemble("set      ", moment(setting.set_at), " UTC by ", cell(setting.set_by))
    elif one.limit.startswith("workflow:"):
        yield Text.assemble("allows   ", "what the workflow's key `limits:` says")
    else:
        yield Text.assemble("allows   ", cell("nothing is set", "bold yellow"))
    holders = counted(len(one.use.holders), "attempt") + (" and more" if one.use.more else "")
    begun = ""
    if setting is not None and setting.rate is not None:
        begun = f"; {one.use.begun:g} begun within {setting.rate_seconds:g} s"
    yield Text.assemble("taken    ", f"{one.use.amount:g} by {holders}{begun}")
    tasks = counted(len(one.waiting), "task")
    yield Text.assemble("waiting  ", f"{tasks} of {counted(one.runs_waiting)}")


def holders_table(one: Standing) -> Table:
    """Who has taken of it, the longest first."""
    ids = short_ids([holder.run_id for holder in one.use.holders])
    rows = [
        (
            ids[holder.run_id],
            cell(holder.task_id),
            str(holder.attempt),
            f"{holder.amount:g}",
            moment(holder.taken_at),
        )
        for holder in one.use.holders
    ]
    return table("Run", "Taken by", ">Try", ">Amount", "Since (UTC)", rows=rows)


def waiting_table(one: Standing) -> Table:
    """Who waits for it, the longest first."""
    ids = short_ids([waiting.run_id for waiting in one.waiting])
    rows = [
        (
            ids[waiting.run_id],
            cell(waiting.task_id),
            moment(waiting.since),
            cell(waiting.reason),
        )
        for waiting in one.waiting
    ]
    return table("Run", "Waiting", "Since (UTC)", "*Because", rows=rows)


def waiting_in(
    run_id: str, workflow: str, tasks: Sequence[TaskSummary], limit: str
) -> list[Waiting]:
    """The tasks of a run that wait for this limit."""
    return [
        Waiting(
            run_id=run_id,
            workflow=workflow,
            task_id=task.task_id,
            reason=task.parked_reason or "",
            since=task.changed_at,
        )
        for task in tasks
        if task.waits_for == limit
    ]


def _per(rate_seconds: float) -> str:
    unit = _UNITS.get(rate_seconds)
    return f"/{unit}" if unit else f" in {rate_seconds:g} s"


def _waits(waiters: LimitWaiters | None) -> str:
    return "" if waiters is None else f"{waiters.tasks}"
