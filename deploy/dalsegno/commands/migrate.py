"""`dalsegno workflow migrate`: have open runs follow another version of their workflow."""

from collections.abc import Sequence
from pathlib import Path

import click

from dalsegno import interrupts
from dalsegno.inputs import agree, check_reference
from dalsegno.options import as_option, folder_option, json_option, yes_option
from dalsegno.output import console, counted, print_json, say
from dalsegno.selection import OPEN_STATUSES, Asked, Chosen, find, tell_which
from dalsegno.session import Session, session
from dalsegno.shown import runs_table
from dalsegno.steered import Outcome, ask_all, outcome_json
from dalsegno_bus.errors import RunRejected, UsageError
from dalsegno_bus.messages import Accepted, MigrateRun
from dalsegno_projections.asking import RUN_DETAIL, WORKFLOWS
from dalsegno_projections.questions import AskRunDetail, AskWorkflows


@click.command()
@click.argument("name")
@click.option("--to", "version", type=click.IntRange(min=1), required=True, help="This version.")
@click.option("--from", "before", type=click.IntRange(min=1), help="Only runs of this version.")
@click.option("--run", metavar="RUN", help="Only this run.")
@click.option("--dry-run", is_flag=True, help="Only list the runs that would be asked.")
@as_option
@yes_option
@folder_option
@json_option
@click.pass_context
def migrate(
    context: click.Context,
    name: str,
    version: int,
    before: int | None,
    run: str | None,
    dry_run: bool,
    requested_by: str,
    yes: bool,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""Have every open run of workflow NAME follow another version from now on.

    A run moves if what has happened in it goes with that version; each one that does not is listed
    with exactly why, and goes on as before. Ends with 1 if there is one.

    \b
    Examples:
      dalsegno workflow migrate financial-report --to 4 --dry-run
      dalsegno workflow migrate financial-report --from 3 --to 4 --yes
      dalsegno workflow migrate financial-report --to 4 --run 0193c2f1-7a3b
    """
    asked = Asked(
        reference=None if run is None else check_reference(run),
        workflow=name,
        status=None,
        labels={},
        requested_by=requested_by,
        yes=yes,
        folder=folder,
        as_json=as_json,
    )
    chosen = interrupts.run(_chosen(asked, name, version, before))
    if dry_run:
        _show_chosen(chosen, version, as_json=as_json)
        return
    if chosen and asked.reference is None and not yes:
        tell_which(chosen, asked)
        if not agree(f"ask {counted(len(chosen))} to follow version {version}?", yes=False):
            say("nothing was done")
            context.exit(1)
    requests = [
        MigrateRun(run_id=one.run_id, version=version, requested_by=requested_by) for one in chosen
    ]
    outcomes = interrupts.run(ask_all(asked, requests)) if requests else []
    _show(outcomes, version, as_json=as_json)
    context.exit(1 if any(isinstance(answer, RunRejected) for _, answer in outcomes) else 0)


async def _chosen(asked: Asked, name: str, version: int, before: int | None) -> list[Chosen]:
    """The runs to ask; there is such a version."""
    async with session(asked.folder) as here:
        await here.ask(WORKFLOWS, AskWorkflows(workflow=name, version=version, limit=1))
        if asked.reference is not None:
            return [await _one(here, asked.reference, name, before)]
        chosen = await find(here, asked, OPEN_STATUSES)
    return [one for one in chosen if _is_meant(one, version, before)]


async def _one(here: Session, reference: str, name: str, before: int | None) -> Chosen:
    detail = await here.ask(RUN_DETAIL, AskRunDetail(run_id=reference, limit=1))
    run = detail.run
    if run.workflow != name:
        raise UsageError(f"run {run.run_id} is of {run.workflow!r}, not of {name!r}")
    if before not in {None, run.workflow_version}:
        raise UsageError(f"run {run.run_id} follows version {run.workflow_version}, not {before}")
    return Chosen(run_id=await here.run_id(run.run_id), summary=run)


def _is_meant(chosen: Chosen, version: int, before: int | None) -> bool:
    follows = None if chosen.summary is None else chosen.summary.workflow_version
    return follows != version and before in {None, follows}


def _show_chosen(chosen: Sequence[Chosen], version: int, *, as_json: bool) -> None:
    summaries = [one.summary for one in chosen if one.summary is not None]
    if as_json:
        print_json([summary.model_dump(mode="json") for summary in summaries])
        return
    if summaries:
        console().print(runs_table(summaries))
    say(f"{counted(len(summaries))} would be asked to follow version {version}")


def _show(outcomes: Sequence[Outcome], version: int, *, as_json: bool) -> None:
    if as_json:
        print_json([outcome_json(*outcome) for outcome in outcomes])
        return
    moved = 0
    for run_id, answer in outcomes:
        if isinstance(answer, Accepted):
            moved += 1
            click.echo(f"run {run_id} follows version {answer.version} (it is {answer.status})")
            continue
        click.echo(f"run {run_id} stays as it is:")
        for reason in answer.reasons:
            click.echo(f"  {reason}")
    stay = len(outcomes) - moved
    say(f"{counted(moved)} moved to version {version}, {stay} cannot" if outcomes else
        f"no open run would have to move to version {version}")  # fmt: skip
