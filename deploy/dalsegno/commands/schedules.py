"""`dalsegno schedules`: what starts runs by the clock, and when it does so next."""

import asyncio
from pathlib import Path

import click

from dalsegno.options import as_option, folder_option, json_option, reason_option
from dalsegno.output import console, print_json, say
from dalsegno.reading import reading
from dalsegno.schedules import Planned, planned, schedules_table
from dalsegno.session import session
from dalsegno_bus.clock import utc_now
from dalsegno_bus.messages import Accepted
from dalsegno_projections.asking import SCHEDULES
from dalsegno_projections.questions import AskSchedules


@click.group(
    help="""Schedules of workflows: list, pause, resume.

    \b
    Examples:
      dalsegno schedules list
      dalsegno schedules pause weekly-report --reason holidays
      dalsegno schedules resume weekly-report
    """
)
def schedules() -> None:
    """Schedules of workflows."""


@schedules.command("list")
@click.argument("workflow", required=False)
@folder_option
@json_option
def list_schedules(workflow: str | None, folder: Path | None, as_json: bool) -> None:
    r"""List schedules, each with its next tick and its newest run.

    \b
    Examples:
      dalsegno schedules list
      dalsegno schedules list weekly-report --json
    """
    found = asyncio.run(_planned(folder, workflow))
    if as_json:
        print_json([one.as_json() for one in found])
    elif found:
        console().print(schedules_table(found))
    else:
        of = "" if workflow is None else f" of {workflow!r}"
        say(f"no schedule{of}; a workflow has one by its key `schedule:`")


@schedules.command()
@click.argument("workflow")
@reason_option
@as_option
@folder_option
@json_option
def pause(
    workflow: str, reason: str, requested_by: str, folder: Path | None, as_json: bool
) -> None:
    r"""Let ticks pass without a run, until the schedule is resumed.

    \b
    Examples:
      dalsegno schedules pause weekly-report --reason holidays
    """

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.pause_schedule(workflow, reason, requested_by=requested_by)

    _tell(asyncio.run(send()), workflow, "is paused: its ticks pass", as_json=as_json)


@schedules.command()
@click.argument("workflow")
@as_option
@folder_option
@json_option
def resume(workflow: str, requested_by: str, folder: Path | None, as_json: bool) -> None:
    r"""Have ticks start runs again.

    \b
    Examples:
      dalsegno schedules resume weekly-report
    """

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.resume_schedule(workflow, requested_by=requested_by)

    _tell(asyncio.run(send()), workflow, "starts runs again", as_json=as_json)


async def _planned(folder: Path | None, workflow: str | None) -> list[Planned]:
    async with reading(folder) as here:
        found = await here.ask(SCHEDULES, AskSchedules(workflow=workflow))
    now = utc_now()
    return [planned(one, now) for one in found.schedules]


def _tell(accepted: Accepted, workflow: str, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"workflow": workflow, "status": accepted.status})
    else:
        click.echo(f"the schedule of {workflow} {what}")
