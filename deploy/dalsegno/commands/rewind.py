"""`dalsegno runs rewind`: back to before a task, after a look at what that undoes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import click

from dalsegno import interrupts
from dalsegno.inputs import agree
from dalsegno.options import reason_option
from dalsegno.output import cell, console, counted, print_json, say, status, table
from dalsegno.selection import Asked, Chosen, find, over_runs
from dalsegno.session import Session, session
from dalsegno.steered import ask_all, progress, show
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import RewindRun
from dalsegno_projections.asking import REWIND_PREVIEW
from dalsegno_projections.questions import AskRewindPreview, RewindPreview

ASKED_MAX: Final = 4
"""How many runs are looked at at the same time."""
RUNS_SHOWN: Final = 20
"""Of so many runs, what is undone is listed; of more, it is counted."""


@click.command()
@click.option("--to", "task", required=True, metavar="TASK", help="Back to before this task.")
@click.option("--dry-run", is_flag=True, help="Only list what it would undo.")
@reason_option
@over_runs
def rewind(asked: Asked, task: str, dry_run: bool, reason: str) -> int:
    r"""Take runs back to before TASK, to play on from there.

    First lists what that undoes: TASK and all that came of it, as if it had never begun. What the
    agents did elsewhere stays as it is. In a selection, runs in which TASK has not begun are left
    out.

    \b
    Examples:
      dalsegno runs rewind 0193c2f1-7a3b --to analyze --dry-run
      dalsegno runs rewind 0193c2f1-7a3b --to analyze --reason "wrong rate" --yes
      dalsegno runs rewind --workflow report --status failed --to analyze
    """
    previews, left_out = interrupts.run(_look(asked, task))
    for words in left_out:
        say(words)
    if dry_run:
        _show_previews(asked, previews)
        return 0
    if not previews:
        say(f"no run is rewound to {task!r}")
        return show(asked, [], _told)
    if not asked.yes:
        _list(previews, to_stderr=True)
    undone = sum(len(one.undone) for one in previews)
    question = f"undo {counted(undone, 'task')} of {counted(len(previews))}?"
    if not agree(question, yes=asked.yes):
        say("nothing was done")
        return 1
    requests = [
        RewindRun(
            run_id=RunId(UUID(one.run_id)),
            task_id=task,
            reason=reason,
            requested_by=asked.requested_by,
        )
        for one in previews
    ]
    return show(asked, interrupts.run(ask_all(asked, requests)), _told)


async def _look(asked: Asked, task: str) -> tuple[list[RewindPreview], list[str]]:
    """What each run would undo, and in words, which runs are left out."""
    async with session(asked.folder) as here:
        chosen = await find(here, asked, ())
        if asked.reference is not None:
            return [await _preview(here, chosen[0], task)], []
        looked: list[RewindPreview | None] = []
        with progress(len(chosen), "looked at") as tell:
            for begin in range(0, len(chosen), ASKED_MAX):
                part = chosen[begin : begin + ASKED_MAX]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_if_begun(here, one, task)) for one in part]
                looked += [each.result() for each in tasks]
                tell(len(looked))
    previews = [one for one in looked if one is not None]
    left_out = len(looked) - len(previews)
    words = f"{counted(left_out)} left out: {task!r} has not begun there"
    return previews, [words] if left_out else []


async def _preview(here: Session, chosen: Chosen, task: str) -> RewindPreview:
    question = AskRewindPreview(run_id=str(chosen.run_id), task_id=task)
    return await here.ask(REWIND_PREVIEW, question)


async def _if_begun(here: Session, chosen: Chosen, task: str) -> RewindPreview | None:
    """None: the task has not begun in this run."""
    try:
        return await _preview(here, chosen, task)
    except UsageError:
        return None


def _show_previews(asked: Asked, previews: Sequence[RewindPreview]) -> None:
    if not asked.as_json:
        _list(previews)
        return
    shown = [one.model_dump(mode="json") for one in previews]
    print_json(shown[0] if asked.reference is not None else shown)


def _list(previews: Sequence[RewindPreview], *, to_stderr: bool = False) -> None:
    """What is undone, task by task; of many runs, how much."""
    screen = console(to_stderr=to_stderr)
    for preview in previews[:RUNS_SHOWN]:
        screen.print(f"run {preview.run_id} ({preview.status}) would undo:")
        rows = [
            (cell(one.task_id, indent=2), status(one.status), str(one.attempt or ""),
             cell(one.agent or ""))
            for one in preview.undone
        ]  # fmt: skip
        screen.print(table("  Task", "State", ">Try", "*Agent", rows=rows))
    rest = previews[RUNS_SHOWN:]
    if rest:
        undone = sum(len(one.undone) for one in rest)
        screen.print(f"and {counted(len(rest))} more would undo {counted(undone, 'task')}")


def _told(_: Any) -> str:
    return "was taken back"
