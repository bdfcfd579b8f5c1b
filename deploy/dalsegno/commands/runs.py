"""`dalsegno runs …`: what became of runs, and what one can still tell them."""

import asyncio
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click

from dalsegno import interrupts
from dalsegno.commands.history import entries_of
from dalsegno.inputs import check_reference, read_json, read_labels
from dalsegno.options import folder_option, json_option
from dalsegno.output import console, print_json, say
from dalsegno.reading import reading
from dalsegno.session import session
from dalsegno.shown import payload, run_lines, runs_table, tasks_table
from dalsegno.watch import follow
from dalsegno.why import chosen_of, why_lines
from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Accepted, RunChanged
from dalsegno_bus.watching import FINAL_STATUSES
from dalsegno_projections.asking import RUN_DETAIL, RUNS
from dalsegno_projections.questions import (
    ROWS_MAX,
    AskRunDetail,
    AskRuns,
    HistoryEntry,
    RunDetail,
    RunList,
)

Status = Literal["running", "paused", "completed", "failed", "cancelled"]
_STATUSES: Final[tuple[Status, ...]] = get_args(Status)


@click.group(
    help="""List, show, explain, watch, pause, resume, cancel and signal runs.

    A run is named by its id, or by its first 8 digits or more.

    \b
    Examples:
      dalsegno runs list --status running
      dalsegno runs show 0193c2f1-7a3b
      dalsegno runs why 0193c2f1-7a3b analyze
      dalsegno runs watch 0193c2f1-7a3b
      dalsegno runs signal 0193c2f1-7a3b approval --payload '{"approved": true}'
    """
)
def runs() -> None:
    """List, show, watch, cancel and signal runs."""


@runs.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those that stand so.")
@click.option("--workflow", help="Only those of this workflow.")
@click.option("--label", "pairs", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many first.")
@folder_option
@json_option
def list_runs(
    status: Status | None,
    workflow: str | None,
    pairs: tuple[str, ...],
    limit: int,
    offset: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""List runs, the newest first.

    \b
    Examples:
      dalsegno runs list
      dalsegno runs list --status failed --workflow financial-report --limit 50
      dalsegno runs list --label team=blue --json
    """
    question = AskRuns(
        workflow=workflow, status=status, labels=read_labels(pairs), limit=limit, offset=offset
    )

    async def fetch() -> RunList:
        async with reading(folder) as here:
            return await here.ask(RUNS, question)

    found = asyncio.run(fetch())
    if as_json:
        print_json(found.model_dump(mode="json"))
    elif not found.runs:
        say("no runs")
    else:
        console().print(runs_table(found.runs))
        if found.more:
            say(f"{found.total - offset - len(found.runs)} more: --offset {offset + limit}")


@runs.command()
@click.argument("run")
@folder_option
@json_option
def show(run: str, folder: Path | None, as_json: bool) -> None:
    r"""Show one run with its tasks.

    \b
    Examples:
      dalsegno runs show 0193c2f1-7a3b
      dalsegno runs show 0193c2f1-7a3b --json
    """
    question = AskRunDetail(run_id=check_reference(run))

    async def fetch() -> RunDetail:
        async with reading(folder) as here:
            return await here.ask(RUN_DETAIL, question)

    detail = asyncio.run(fetch())
    if as_json:
        print_json(detail.model_dump(mode="json"))
        return
    shown = console()
    for line in run_lines(detail):
        shown.print(line)
    shown.print()
    shown.print(tasks_table(detail.tasks))
    if detail.more:
        say(f"only the first {len(detail.tasks)} tasks are shown; --json has no more either")
    for name, value, count in (
        ("input", detail.input, detail.input_bytes),
        ("output", detail.output, detail.output_bytes),
    ):
        text = payload(name, value, count)
        if text is not None:
            shown.print()
            shown.print(text, soft_wrap=True)


@runs.command()
@click.argument("run")
@click.argument("task")
@folder_option
@json_option
def why(run: str, task: str, folder: Path | None, as_json: bool) -> None:
    r"""Say why a task went to its agent: the candidates, their scores, what failed before.

    \b
    Examples:
      dalsegno runs why 0193c2f1-7a3b analyze
      dalsegno runs why 0193c2f1-7a3b gather-2 --json
    """
    reference = check_reference(run)

    async def fetch() -> list[HistoryEntry]:
        async with reading(folder) as here:
            return await entries_of(here, reference)

    entries = asyncio.run(fetch())
    chosen = chosen_of(entries, task)
    if not chosen:
        known = ", ".join(sorted({entry.task_id for entry in entries if entry.task_id}))
        raise UsageError(f"nothing was decided about a task {task!r} yet; the run has: {known}")
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in chosen])
        return
    for line in why_lines(chosen):
        click.echo(line)


@runs.command()
@click.argument("run")
@folder_option
@json_option
@click.pass_context
def watch(context: click.Context, run: str, folder: Path | None, as_json: bool) -> None:
    r"""Follow a run to its end. Ends with 0 only if it completed.

    \b
    Examples:
      dalsegno runs watch 0193c2f1-7a3b
      dalsegno runs watch 0193c2f1-7a3b --json
    """
    reference = check_reference(run)

    async def to_its_end() -> RunChanged:
        async with session(folder) as here:
            return await follow(here, await here.run_id(reference))

    ended = interrupts.run(to_its_end())
    if as_json:
        print_json(ended.model_dump(mode="json", exclude={"kind"}))
    else:
        why = f": {ended.error.message}" if ended.error else ""
        say(f"run {ended.run_id} {ended.status}{why}")
    context.exit(0 if ended.status == "completed" else 1)


@runs.command()
@click.argument("run")
@click.option("--reason", default="", help="Stands in the history.")
@folder_option
@json_option
def cancel(run: str, reason: str, folder: Path | None, as_json: bool) -> None:
    r"""End a run early; its running attempts are told.

    \b
    Examples:
      dalsegno runs cancel 0193c2f1-7a3b --reason "wrong quarter"
    """
    reference = check_reference(run)

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.cancel(await here.run_id(reference), reason)

    accepted = asyncio.run(send())
    over = accepted.status in FINAL_STATUSES - {"cancelled"}
    _tell(accepted, "had ended before" if over else "is told to end", as_json=as_json)


@runs.command()
@click.argument("run")
@click.option("--reason", default="", help="Stands in the history.")
@folder_option
@json_option
def pause(run: str, reason: str, folder: Path | None, as_json: bool) -> None:
    r"""Have a run begin nothing more; what is under way goes on, timers stand still.

    \b
    Examples:
      dalsegno runs pause 0193c2f1-7a3b --reason "the books are being corrected"
    """
    reference = check_reference(run)

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.pause(await here.run_id(reference), reason)

    _tell(asyncio.run(send()), "begins nothing more", as_json=as_json)


@runs.command()
@click.argument("run")
@folder_option
@json_option
def resume(run: str, folder: Path | None, as_json: bool) -> None:
    r"""Have a paused run go on.

    \b
    Examples:
      dalsegno runs resume 0193c2f1-7a3b
    """
    reference = check_reference(run)

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.resume(await here.run_id(reference))

    _tell(asyncio.run(send()), "goes on", as_json=as_json)


@runs.command()
@click.argument("run")
@click.argument("name", metavar="SIGNAL")
@click.option("--payload", "text", metavar="JSON|@FILE", help="What the waiting task outputs.")
@folder_option
@json_option
def signal(run: str, name: str, text: str | None, folder: Path | None, as_json: bool) -> None:
    r"""Hand a signal to a run that waits for it, or soon will.

    \b
    Examples:
      dalsegno runs signal 0193c2f1-7a3b approval --payload '{"approved": true}'
    """
    reference = check_reference(run)
    value: Any = read_json(text, "--payload")

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.signal(await here.run_id(reference), name, value)

    _tell(asyncio.run(send()), f"has the signal {name!r}", as_json=as_json)


def _tell(accepted: Accepted, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(accepted.model_dump(mode="json", exclude={"kind"}))
    else:
        click.echo(f"run {accepted.run_id} {what} (it is {accepted.status})")
