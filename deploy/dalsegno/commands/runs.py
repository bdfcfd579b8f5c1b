"""`dalsegno runs …`: what became of runs, and what one can still tell them."""

import asyncio
from pathlib import Path
from typing import Any, Final

import click

from dalsegno import interrupts
from dalsegno.commands.history import entries_of
from dalsegno.commands.replan import replan
from dalsegno.commands.rewind import rewind
from dalsegno.commands.steering import cancel, pause, resume, retry
from dalsegno.inputs import check_reference, read_json, read_labels
from dalsegno.options import as_option, folder_option, json_option
from dalsegno.output import console, print_json, say
from dalsegno.reading import reading
from dalsegno.selection import STATUSES
from dalsegno.session import Session, session
from dalsegno.shown import hanging, payload, repair_hint, run_lines, runs_table, tasks_table
from dalsegno.stream import follow_stream, write_out
from dalsegno.watch import follow
from dalsegno.why import chosen_of, why_lines
from dalsegno_bus.errors import DalsegnoError, UsageError
from dalsegno_bus.messages import Accepted, RunChanged
from dalsegno_orchestrator.workflow.run import RunStatus
from dalsegno_projections.asking import RUN_DETAIL, RUNS
from dalsegno_projections.questions import (
    ROWS_MAX,
    AskRunDetail,
    AskRuns,
    HistoryEntry,
    RunDetail,
    RunList,
)


@click.group(
    help="""List, show, explain, watch, steer and signal runs.

    A run is named by its id, or by its first 8 digits or more. What is told to one run can be told
    to all of a workflow, a status, a label.

    \b
    Examples:
      dalsegno runs list --status running
      dalsegno runs show 0193c2f1-7a3b
      dalsegno runs why 0193c2f1-7a3b analyze
      dalsegno runs watch 0193c2f1-7a3b --stream
      dalsegno runs retry --workflow report --status failed
      dalsegno runs rewind 0193c2f1-7a3b --to analyze
      dalsegno runs signal 0193c2f1-7a3b approval --payload '{"approved": true}'
    """
)
def runs() -> None:
    """List, show, watch, steer and signal runs."""


@runs.command("list")
@click.option(
    "--status",
    type=click.Choice(STATUSES),
    metavar="STATUS",
    help="Only those that stand so: running, paused, failed …",
)
@click.option("--workflow", help="Only those of this workflow.")
@click.option("--label", "pairs", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=20, show_default=True)
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Leave out so many first.")
@folder_option
@json_option
def list_runs(
    status: RunStatus | None,
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
    shown.print(hanging(run_lines(detail)))
    shown.print()
    shown.print(tasks_table(detail.tasks, is_over=detail.run.ended_at is not None))
    if detail.more:
        say(f"only the first {len(detail.tasks)} tasks are shown; --json has no more either")
    hint = repair_hint(detail.run, folder)
    if hint is not None:
        say(hint)
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
@click.option("--stream", is_flag=True, help="Print the output of its tasks as it comes about.")
@folder_option
@json_option
@click.pass_context
def watch(
    context: click.Context, run: str, stream: bool, folder: Path | None, as_json: bool
) -> None:
    r"""Follow a run to its end. Ends with 0 only if it completed.

    With --stream, the pieces of output that agents tell while they work are printed as they come,
    and no table; with --json too, each as one line of JSON.

    \b
    Examples:
      dalsegno runs watch 0193c2f1-7a3b
      dalsegno runs watch 0193c2f1-7a3b --stream
      dalsegno runs watch 0193c2f1-7a3b --json
    """
    reference = check_reference(run)

    async def to_its_end() -> RunChanged:
        async with session(folder) as here:
            run_id = await here.run_id(reference)
            if stream:
                return await follow_stream(here, run_id, write=write_out, as_json=as_json)
            return await follow(here, run_id)

    ended = interrupts.run(to_its_end())
    if as_json and not stream:
        print_json(ended.model_dump(mode="json", exclude={"kind"}))
    else:
        why = f": {ended.error.message}" if ended.error else ""
        say(f"run {ended.run_id} {ended.status}{why}")
    context.exit(0 if ended.status == "completed" else 1)


@runs.command()
@click.argument("run")
@click.argument("name", metavar="SIGNAL")
@click.option("--payload", "text", metavar="JSON|@FILE", help="What the waiting task outputs.")
@as_option
@folder_option
@json_option
def signal(
    run: str,
    name: str,
    text: str | None,
    requested_by: str,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""Hand a signal to a run that waits for it, or soon will.

    \b
    Examples:
      dalsegno runs signal 0193c2f1-7a3b approval --payload '{"approved": true}'
    """
    reference = check_reference(run)
    value: Any = read_json(text, "--payload")

    async def send() -> tuple[Accepted, str | None]:
        async with session(folder) as here:
            run_id = await here.run_id(reference)
            hint = await _unawaited(here, reference, name)
            return await here.client.signal(run_id, name, value, requested_by=requested_by), hint

    accepted, hint = asyncio.run(send())
    if as_json:
        print_json(accepted.model_dump(mode="json", exclude={"kind"}))
    else:
        has = f"run {accepted.run_id} has the signal {name!r}"
        click.echo(f"{has} (it is {accepted.status})")
    if hint is not None:
        say(hint)


async def _unawaited(here: Session, reference: str, signal: str) -> str | None:
    """What to say of a signal for which no task waits yet; None: one does, or who knows."""
    try:
        run = (await here.ask(RUN_DETAIL, AskRunDetail(run_id=reference, limit=1))).run
    except DalsegnoError:  # the signal has to go its way without the views, too
        return None
    awaited = [what.removeprefix(_SIGNAL) for what in run.waiting_for if what.startswith(_SIGNAL)]
    if signal in awaited or (signal == _BUDGET and run.budget):
        return None
    now = f"; it waits for {', '.join(map(repr, awaited))}" if awaited else ""
    return f"no task waits for {signal!r} yet: the run keeps it for one that will{now}"


_SIGNAL: Final = "signal "
"""How the views tell that a task waits for a signal."""
_BUDGET: Final = "budget"


for command in (pause, resume, cancel, retry, rewind, replan):
    runs.add_command(command)
