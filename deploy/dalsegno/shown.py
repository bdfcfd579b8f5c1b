"""How runs, tasks, events and agents look as tables. Pure: answers in, tables out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from dalsegno.output import cell, moment, seconds, size, status, table
from dalsegno_projections.questions import (
    HistoryEntry,
    RunDetail,
    RunSummary,
    StateThen,
    TaskSummary,
)

ID_CHARACTERS: Final = 13
"""Enough to tell runs apart that began in different milliseconds."""
_PAYLOAD_CHARACTERS_MAX: Final = 2_000


def short_ids(run_ids: Sequence[str]) -> dict[str, str]:
    """The first digits of each id: as few as tell them all apart, but not below a minimum."""
    unique = set(run_ids)
    length = ID_CHARACTERS
    while length < max((len(run_id) for run_id in unique), default=0):
        if len({run_id[:length] for run_id in unique}) == len(unique):
            break
        length += 1
    return {run_id: run_id[:length].rstrip("-") for run_id in unique}


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """A list of runs."""
    ids = short_ids([run.run_id for run in runs])
    rows = [
        (
            ids[run.run_id],
            cell(run.workflow),
            status(run.status),
            moment(run.started_at),
            seconds(lasted(run.started_at, run.ended_at)),
            cell(_note(run)),
        )
        for run in runs
    ]
    return table("Run", "Workflow", "Status", "Started (UTC)", ">Took", "~Note", rows=rows)


def run_lines(detail: RunDetail) -> list[Text]:
    """What there is to say of a run, above its tasks."""
    run = detail.run
    took = seconds(lasted(run.started_at, run.ended_at))
    lines = [
        Text.assemble("run      ", run.run_id),
        Text.assemble("workflow ", cell(run.workflow), f" (version {run.workflow_version})"),
        Text.assemble("status   ", status(run.status), f", {run.version} events"),
        Text.assemble("started  ", moment(run.started_at), " UTC by ", cell(run.started_by)),
    ]
    if run.ended_at is not None:
        lines.append(Text.assemble("ended    ", moment(run.ended_at), f" UTC, after {took}"))
    if run.labels:
        pairs = ", ".join(f"{key}={value}" for key, value in run.labels.items())
        lines.append(Text.assemble("labels   ", cell(pairs)))
    if run.waiting_for:
        what = ", ".join(f"{name} ({count})" for name, count in run.waiting_for.items())
        lines.append(Text.assemble("waits    ", cell(f"for {what}", "magenta")))
    if run.usd or run.tokens:
        lines.append(Text.assemble("cost     ", f"{run.usd:.4f} USD, {run.tokens} tokens"))
    if run.error_message:
        where = f"{run.failed_task}: " if run.failed_task else ""
        lines.append(Text.assemble("error    ", cell(where + run.error_message, "red")))
    return lines


def tasks_table(tasks: Sequence[TaskSummary]) -> Table:
    """The tasks of a run, with who did them, how long that took, and what went wrong."""
    rows = [
        (
            cell(task.task_id),
            status(task.status),
            cell(task.agent or ""),
            str(task.attempt or ""),
            seconds(task.queue_seconds) if task.work_seconds else "",
            seconds(task.work_seconds) if task.work_seconds else "",
            cell(_remark(task)),
        )
        for task in tasks
    ]
    return table("Task", "State", "Agent", ">Try", ">Waited", ">Worked", "*Remark", rows=rows)


def history_table(entries: Sequence[HistoryEntry]) -> Table:
    """The events of a run."""
    began = datetime.fromisoformat(entries[0].at) if entries else None
    rows = [
        (
            str(entry.version),
            "" if began is None else _offset(began, entry.at),
            cell(entry.kind.rpartition(".")[0] or entry.kind),
            cell(entry.sentence),
        )
        for entry in entries
    ]
    return table(">#", ">After", "Event", "*What happened", rows=rows)


def then_lines(then: StateThen) -> list[Text]:
    """A run as it stood, above its tasks."""
    lines = [
        Text.assemble("run      ", then.run_id),
        Text.assemble("workflow ", cell(then.workflow), f" (version {then.workflow_version})"),
        Text.assemble("status   ", status(then.status)),
        Text.assemble(f"after    event {then.version}, recorded ", moment(then.at), " UTC"),
    ]
    if then.error_message:
        lines.append(Text.assemble("error    ", cell(then.error_message, "red")))
    return lines


def then_table(then: StateThen) -> Table:
    """The tasks of a run as they stood."""
    rows = [
        (
            cell(task.task_id),
            status(task.status),
            cell(task.agent or ""),
            str(task.attempt or ""),
            cell(task.error_message or ""),
        )
        for task in then.tasks
    ]
    return table("Task", "State", "Agent", ">Try", "*Remark", rows=rows)


def lasted(began: str, ended: str | None) -> float | None:
    """How many seconds lie between two times; None: it has not ended."""
    if ended is None:
        return None
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def payload(name: str, value: Any, count: int) -> Text | None:
    """An input or output in a few lines; None if there is none."""
    import orjson

    if value is None:
        return Text(f"{name}: {size(count)}, see --json of history") if count else None
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    if len(body) > _PAYLOAD_CHARACTERS_MAX:
        return Text(f"{name}: {size(count)} of JSON (--json shows it)")
    return Text(f"{name}: {body}")


def _note(run: RunSummary) -> str:
    if run.error_message:
        return run.error_message
    if run.waiting_for:
        return f"waits for {', '.join(run.waiting_for)}"
    return _counted(run.tasks)


def _counted(tasks: Mapping[str, int]) -> str:
    total = sum(tasks.values())
    return f"{tasks.get('completed', 0)}/{total} tasks" if total else ""


def _remark(task: TaskSummary) -> str:
    if task.parked_reason:
        return task.parked_reason
    if task.status == "waiting" and task.signal:
        return f"waits for the signal {task.signal!r}"
    if task.items:
        return f"{task.items_over} of {task.items} items"
    if task.error_message:
        again = " (an earlier attempt)" if task.status == "completed" else ""
        return f"{task.error_message}{again}"
    return ""


def _offset(began: datetime, iso: str) -> str:
    return f"{(datetime.fromisoformat(iso) - began).total_seconds():.3f} s"
