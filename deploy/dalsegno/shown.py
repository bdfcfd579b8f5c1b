"""How runs, tasks, events and agents look as tables. Pure: answers in, tables out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from dalsegno.output import cell, moment, seconds, size, status, table, typed
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
_WORD_CHARACTERS: Final = 9
"""Before what is said of a run: `status   `."""
_WAITING: Final = frozenset({"ready", "parked", "retrying", "waiting", "sleeping"})


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
    plan = f", plan version {run.plan_version}" if run.plan_version > 1 else ""
    lines = [
        Text.assemble("run      ", run.run_id),
        Text.assemble("workflow ", cell(run.workflow), f" (version {run.workflow_version}{plan})"),
        Text.assemble("status   ", status(run.status), f", {run.version} events"),
        Text.assemble("started  ", moment(run.started_at), " UTC by ", cell(run.started_by)),
    ]
    if run.parent_run is not None:
        whose = f"task {run.parent_task} of run " if run.parent_task else "a tick of the schedule "
        lines.append(Text.assemble("part of  ", cell(whose + run.parent_run)))
    if run.ended_at is not None:
        lines.append(Text.assemble("ended    ", moment(run.ended_at), f" UTC, after {took}"))
    if run.labels:
        pairs = ", ".join(f"{key}={value}" for key, value in run.labels.items())
        lines.append(Text.assemble("labels   ", cell(pairs)))
    if run.usd or run.tokens:
        lines.append(Text.assemble("cost     ", f"{run.usd:.4f} USD, {run.tokens} tokens"))
    return [*lines, *_waits_lines(run), *_children_lines(detail), *_trouble_lines(run)]


def repair_hint(run: RunSummary, folder: Path | None) -> str | None:
    """How to have what could not be undone tried again; None: there is nothing."""
    if not run.uncompensated:
        return None
    only = f" --task {run.uncompensated[0]}" if run.uncompensated_total == 1 else ""
    return f"have the undoing tried again: {typed(f'runs retry {run.run_id}{only}', folder)}"


def hanging(lines: Iterable[Text]) -> Table:
    """Lines of a word and what it says: what is too long goes on below what it says."""
    made = Table.grid(padding=0)
    made.add_column(width=_WORD_CHARACTERS, no_wrap=True)
    made.add_column(overflow="fold")
    for line in lines:
        made.add_row(line[:_WORD_CHARACTERS], line[_WORD_CHARACTERS:])
    return made


def tasks_table(tasks: Sequence[TaskSummary], *, is_over: bool = False) -> Table:
    """The tasks of a run, with who did them, how long that took, and what went wrong.

    What was done beside a task (items, iterations, questions, undoing) stands below it.

    Args:
        tasks: In the order in which they began.
        is_over: Whether their run has ended, so that nothing of it waits any more.
    """
    failed = Counter(
        task.parent for task in tasks if task.role == "item" and task.status == "failed"
    )
    rows = [
        (
            cell(task.task_id, indent=2 * depth),
            status(task.status),
            cell(task.agent or ""),
            str(task.attempt or ""),
            seconds(task.queue_seconds) if task.work_seconds else "",
            seconds(task.work_seconds) if task.work_seconds else "",
            cell(remark(task, failed_items=failed[task.task_id], is_over=is_over)),
        )
        for task, depth in nested(tasks)
    ]
    return table("Task", "State", "Agent", ">Try", ">Waited", ">Worked", "*Remark", rows=rows)


def nested(tasks: Sequence[TaskSummary]) -> Iterator[tuple[TaskSummary, int]]:
    """Each task, and after it what belongs to it, with how deep it lies."""
    known = {task.task_id for task in tasks}
    below: dict[str | None, list[TaskSummary]] = {}
    for task in tasks:
        parent = task.parent if task.parent in known and task.parent != task.task_id else None
        below.setdefault(parent, []).append(task)
    open_ = [(task, 0) for task in reversed(below.get(None, []))]
    while open_:
        task, depth = open_.pop()
        yield task, depth
        open_ += [(one, depth + 1) for one in reversed(below.get(task.task_id, []))]


def history_table(entries: Sequence[HistoryEntry], began_at: str | None = None) -> Table:
    """The events of a run, with who asked for what was asked for.

    Args:
        entries: The events, oldest first; not all of them have to be there.
        began_at: When the run began; None: with the first of these events.
    """
    began = datetime.fromisoformat(began_at or entries[0].at) if entries else None
    causes = [None, *(entry.cause for entry in entries)]
    rows = [
        (
            str(entry.version),
            "" if began is None else _offset(began, entry.at),
            cell(entry.kind.rpartition(".")[0] or entry.kind),
            cell(entry.sentence + ("" if entry.cause == before else _asked_by(entry))),
        )
        for entry, before in zip(entries, causes, strict=False)
    ]
    return table(">#", ">After", "Event", "*What happened", rows=rows)


def _asked_by(entry: HistoryEntry) -> str:
    """Who asked for it, where a person or a program did."""
    kind, _, name = entry.by.partition(":")
    return f" [{name}]" if kind == "client" and name else ""


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
    if run.uncompensated:
        return f"not undone: {', '.join(run.uncompensated)}"
    if run.error_message:
        return run.error_message
    if run.budget and run.ended_at is None:
        return run.budget
    if run.status == "paused":
        return f"paused: {run.paused_reason}" if run.paused_reason else "paused"
    if run.waiting_for:
        return f"waits for {', '.join(run.waiting_for)}"
    return _counted(run.tasks)


def _counted(tasks: Mapping[str, int]) -> str:
    total = sum(tasks.values())
    return f"{tasks.get('completed', 0)}/{total} tasks" if total else ""


def remark(task: TaskSummary, *, failed_items: int = 0, is_over: bool = False) -> str:
    """What there is to say of a task beside its state, and how many of its items failed."""
    is_left = is_over and task.status in _WAITING
    words = [_role(task), "the run ended before it was done" if is_left else _now(task)]
    if failed_items:
        words.append(f"{failed_items} failed")
    if task.beside is not None:
        words.append(f"attempt {task.beside} goes on beside it, at {task.beside_agent}")
    if task.planned:
        words.append(f"planned {', '.join(task.planned)}")
    if task.child_run is not None:
        words.append(f"run {task.child_run}")
    return "; ".join(word for word in words if word)


def _role(task: TaskSummary) -> str:
    match task.role:
        case "undo":
            return f"undoes {task.parent}"
        case "escalation":
            return f"tells that {task.parent} waits"
        case "question":
            return f"answers {task.parent}"
        case _:
            return ""


def _now(task: TaskSummary) -> str:
    if task.status == "parked":
        return task.parked_reason or "no agent can do it now"
    if task.status == "waiting" and task.signal:
        until = f" until {moment(task.until)}" if task.until else ""
        return f"waits for the signal {task.signal!r}{until}"
    if task.status == "sleeping" and task.until:
        return f"sleeps until {moment(task.until)}"
    if task.status == "retrying" and task.retry_at:
        failed = f" after: {task.error_message}" if task.error_message else ""
        return f"again at {moment(task.retry_at)}{failed}"
    if task.items and task.status != "failed":
        what = "times" if task.status == "repeating" else "items"
        return f"{task.items_over} of {task.items} {what}"
    if task.error_message:
        again = " (an earlier attempt)" if task.status == "completed" else ""
        return f"{task.error_message}{again}"
    return ""


def _waits_lines(run: RunSummary) -> Iterator[Text]:
    """What the run waits for."""
    if run.waiting_for:
        what = ", ".join(f"{name} ({count})" for name, count in run.waiting_for.items())
        yield Text.assemble("waits    ", cell(f"for {what}", "magenta"))
    if run.status == "paused":
        reason = f": {run.paused_reason}" if run.paused_reason else ""
        yield Text.assemble("waits    ", cell(f"to be resumed{reason}", "magenta"))
    if run.budget and run.ended_at is None:
        yield Text.assemble("budget   ", cell(run.budget, "bold yellow"))


def _children_lines(detail: RunDetail) -> Iterator[Text]:
    """The runs of its sub-workflows."""
    for child in detail.children:
        of = f", for {child.parent_task}" if child.parent_task else ""
        yield Text.assemble(
            "child    ",
            child.run_id,
            " ",
            cell(child.workflow),
            " ",
            status(child.status),
            cell(of),
        )
    if detail.children_total > len(detail.children):
        yield Text(f"         and {detail.children_total - len(detail.children)} more")


def _trouble_lines(run: RunSummary) -> Iterator[Text]:
    """What went wrong, and what of it still stands."""
    if run.error_message:
        where = f"{run.failed_task}: " if run.failed_task else ""
        yield Text.assemble("error    ", cell(where + run.error_message, "red"))
    if run.uncompensated:
        more = run.uncompensated_total - len(run.uncompensated)
        rest = f" and {more} more" if more > 0 else ""
        tasks = ", ".join(run.uncompensated)
        yield Text.assemble("stands   ", cell(f"not undone: {tasks}{rest}", "bold red"))


def _offset(began: datetime, iso: str) -> str:
    return f"{(datetime.fromisoformat(iso) - began).total_seconds():.3f} s"
