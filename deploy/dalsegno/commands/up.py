"""`dalsegno up`: the local stack, until somebody ends it."""

import asyncio
from pathlib import Path

import click

from dalsegno import interrupts
from dalsegno.layout import Layout, from_settings, in_folder
from dalsegno.output import cell, console, say, table, typed
from dalsegno.processes import epitaph
from dalsegno.stack import Stack, running
from dalsegno_bus.errors import Unavailable

_LOOK_SECONDS = 0.2


@click.command()
@click.option(
    "--folder",
    envvar="DALSEGNO_FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep everything in DIR, and take a free port.",
)
@click.option(
    "--agent",
    "agents",
    multiple=True,
    metavar="MODULE:AGENT",
    help="Start this agent, in place of those of dalsegno.toml; may be given several times.",
)
def up(folder: Path | None, agents: tuple[str, ...]) -> None:
    r"""Run a local stack until Ctrl-C: NATS, orchestrator, projections, agents.

    What to start, and where, is read from dalsegno.toml; without one, it is the five finance
    agents, with NATS on port 4222 and all files in .dalsegno.

    \b
    Examples:
      dalsegno up
      dalsegno up --agent my_agents:analyst --agent my_agents:writer
      dalsegno up --folder .dalsegno/mine

    \b
    A dalsegno.toml:
      nats_url = "nats://127.0.0.1:4222"
      store_url = "sqlite:///.dalsegno/store.db"
      agents = ["my_agents:analyst", "my_agents:writer"]
    """
    chosen = agents or None
    layout = from_settings(chosen) if folder is None else in_folder(folder, chosen)
    interrupts.run(_stay_up(layout, folder))


async def _stay_up(layout: Layout, folder: Path | None) -> None:
    async with running(layout, tell=say) as stack:
        _show(stack)
        say(f"ready; Ctrl-C stops everything. In another terminal: {typed('runs list', folder)}")
        await _watch(stack)


def _show(stack: Stack) -> None:
    rows = [
        (cell(child.name), str(child.pid), cell(_short(child.log)))
        for child in stack.processes.children
    ]
    shown = console(to_stderr=True)
    shown.print(table("Service", ">Process", "*Log", rows=rows))
    say(f"NATS: {stack.nats_url}")


async def _watch(stack: Stack) -> None:
    """Say of each service that ends; the rest goes on, for whoever tries what happens then."""
    ended: set[int] = set()
    while True:
        for child in stack.processes.children:
            if not child.is_alive and child.pid not in ended:
                ended.add(child.pid)
                say(f"{epitaph(child)}\nthe others go on")
        if len(ended) == len(stack.processes.children):
            raise Unavailable("every service has ended")
        await asyncio.sleep(_LOOK_SECONDS)


def _short(path: Path) -> Path:
    """The path as people say it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
