"""`dalsegno agents`: which agents there are, who is here now, what each has done; draining them."""

import asyncio
from pathlib import Path
from typing import Any

import click

from dalsegno import interrupts
from dalsegno.draining import drain as drain_agent
from dalsegno.draining import undrain, until_left
from dalsegno.options import as_option, folder_option, json_option, reason_option
from dalsegno.output import cell, console, counted, print_json, say, seconds, table, typed
from dalsegno.presence import Known, present
from dalsegno.session import session
from dalsegno_bus.errors import DalsegnoError
from dalsegno_projections.asking import AGENTS
from dalsegno_projections.questions import AskAgents


@click.group(
    help="""Which agents there are; draining them.

    \b
    Examples:
      dalsegno agents list
      dalsegno agents list --json
      dalsegno agents drain analyst --wait
    """
)
def agents() -> None:
    """Which agents there are."""


@agents.command("list")
@folder_option
@json_option
def list_agents(folder: Path | None, as_json: bool) -> None:
    r"""List agents: who is here now, what each can do, and what it has done.

    \b
    Examples:
      dalsegno agents list
    """
    known = asyncio.run(_known(folder))
    if as_json:
        print_json([agent.as_json() for agent in known])
    elif not known:
        say(f"no agents; start one: {typed('agent MODULE:AGENT', folder)}")
    else:
        rows = [_row(agent) for agent in known]
        counts = (">Here", ">Busy", ">Done", ">Failed", ">Work p50", ">p95")
        console().print(table("Agent", *counts, "*Capabilities", rows=rows))


@agents.command()
@click.argument("name")
@click.option("--undo", is_flag=True, help="Give it tasks again.")
@click.option("--wait", is_flag=True, help="Until none of its replicas is left.")
@reason_option
@as_option
@folder_option
@json_option
def drain(
    name: str,
    undo: bool,
    wait: bool,
    reason: str,
    requested_by: str,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""Give an agent no new tasks; its replicas finish those they have, and leave.

    It stays so, also for replicas that are started later, until --undo.

    \b
    Examples:
      dalsegno agents drain analyst --reason "a new version comes"
      dalsegno agents drain analyst --wait
      dalsegno agents drain analyst --undo
    """
    if undo and wait:
        raise click.UsageError("--wait is for draining: give --undo alone")
    if undo:
        undrained = asyncio.run(_undrained(folder, name))
        was_drained = undrained is not None
        if as_json:
            print_json({"agent": name, "drained": None, "was_drained": was_drained})
        else:
            click.echo(f"{name} gets tasks again" if was_drained else f"{name} was not drained")
        if undrained is not None and not undrained.replicas:
            say(f"none of its replicas is here; start one: {typed('agent MODULE:AGENT', folder)}")
        return
    agent = interrupts.run(_drained(folder, name, reason, requested_by, wait=wait))
    if as_json:
        print_json(agent.as_json())
    elif wait:
        click.echo(f"{name} is drained, none of its replicas is left")
    else:
        click.echo(f"{name} gets nothing new; {_left(agent)}")


async def _drained(
    folder: Path | None, name: str, reason: str, requested_by: str, *, wait: bool
) -> Known:
    async with session(folder) as here:
        agent = await drain_agent(here, name, reason=reason, requested_by=requested_by)
        if wait:
            try:
                await until_left(here, agent, lambda now: say(f"{name}: {_left(now)}"))
            except asyncio.CancelledError:
                say(f"{name} stays drained; to undo it: {typed(f'agents drain {name} --undo')}")
                raise
            agent.replicas.clear()
        return agent


async def _undrained(folder: Path | None, name: str) -> Known | None:
    async with session(folder) as here:
        return await undrain(here, name)


def _left(agent: Known) -> str:
    if not agent.replicas:
        return "none of its replicas is here"
    attempts = counted(agent.working, "attempt")
    return f"{counted(len(agent.replicas), 'replica')} left, with {attempts} to finish"


async def _known(folder: Path | None) -> list[Known]:
    async with session(folder) as here:
        known = await present(here)
        try:
            records = (await here.ask(AGENTS, AskAgents())).agents
        except DalsegnoError as error:
            say(f"what they have done is not known: {error}")
            records = []
        for record in records:
            known.setdefault(record.agent, Known(record.agent)).record = record
    return [known[name] for name in sorted(known)]


def _row(agent: Known) -> tuple[Any, ...]:
    record = agent.record
    capabilities = [one.name for one in agent.card.capabilities] if agent.card else []
    here = str(len(agent.replicas)) if agent.replicas else cell("none", "yellow")
    return (
        cell(f"{agent.name} (drained)" if agent.drained else agent.name),
        here,
        str(agent.working) if agent.working else "",
        str(record.completed) if record else "",
        str(record.failed + record.timed_out) if record else "",
        seconds(record.work_seconds_p50) if record else "",
        seconds(record.work_seconds_p95) if record else "",
        cell(", ".join(capabilities)),
    )
