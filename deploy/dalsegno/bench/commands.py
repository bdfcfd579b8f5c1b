"""`dalsegno bench …`: each prints a table, or one JSON object a line with `--json`."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table

from dalsegno.bench import core as pure_core
from dalsegno.bench import load
from dalsegno.bench import recover as taking_over
from dalsegno.bench.agents import TASKS


@click.group(
    help="""Measure what orchestration costs on this machine.

    \b
    Examples:
      dalsegno bench chain --runs 2000
      dalsegno bench latency --json
      dalsegno bench core --json
      dalsegno bench recover --runs 10000
    """
)
def bench() -> None:
    """Measure what orchestration costs on this machine."""


_runs = click.option("--runs", type=click.IntRange(1, 1_000_000), help="How many runs.")
_agents = click.option(
    "--agents", type=click.IntRange(1, 16), default=1, show_default=True, help="Agent processes."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on one line.")


@bench.command("floor")
@_runs
@_agents
@_json
def floor(runs: int | None, agents: int, as_json: bool) -> None:
    """The bare loop: the chain's messages and rows, without a saga."""
    done = asyncio.run(load.chain(runs or 2_000, agents=agents, floor=True))
    _show("floor", _throughput(done, agents), as_json=as_json)


@bench.command("chain")
@_runs
@_agents
@_json
def chain(runs: int | None, agents: int, as_json: bool) -> None:
    """Runs of five no-op tasks in a row, all started at once, beside the floor."""

    async def both() -> tuple[load.Throughput, load.Throughput]:
        bare = await load.chain(runs or 2_000, agents=agents, floor=True)
        return bare, await load.chain(runs or 2_000, agents=agents, floor=False)

    bare, done = asyncio.run(both())
    figures = {
        **_throughput(done, agents),
        "floor_tasks_per_second": round(bare.tasks_per_second, 1),
        "ratio_to_floor": round(done.tasks_per_second / bare.tasks_per_second, 3),
    }
    _show("chain", figures, as_json=as_json)


@bench.command("latency")
@_runs
@_json
def latency(runs: int | None, as_json: bool) -> None:
    """Single runs of five no-op tasks, one after another, on an idle system."""

    async def both() -> tuple[load.Latency, load.Latency]:
        bare = await load.latency(runs or 200, floor=True)
        return bare, await load.latency(runs or 200, floor=False)

    bare, done = asyncio.run(both())
    figures = {
        "runs": len(done.milliseconds),
        "p50_ms": round(done.p50, 2),
        "p99_ms": round(done.p99, 2),
        "floor_p50_ms": round(bare.p50, 2),
        "ratio_to_floor": round(done.p50 / bare.p50, 2),
    }
    _show("latency", figures, as_json=as_json)


@bench.command("core")
@_runs
@_json
def core(runs: int | None, as_json: bool) -> None:
    """The pure core: messages decided in a second, and what a large foreach costs a task."""
    done = pure_core.measure(runs or 5_000)
    figures = {
        "messages": done.messages,
        "seconds": round(done.seconds, 3),
        "messages_per_second": round(done.messages_per_second),
        f"task_microseconds_of_{pure_core.ITEMS_SMALL}": round(done.small_task_seconds * 1e6, 1),
        f"task_microseconds_of_{pure_core.ITEMS_LARGE}": round(done.large_task_seconds * 1e6, 1),
        "ratio_large_to_small": round(done.large_to_small, 2),
    }
    settings = {"tasks_per_run": TASKS, "store": "none", "nats": "none"}
    _show("core", figures, as_json=as_json, settings=settings)


@bench.command("recover")
@_runs
@_json
def recover(runs: int | None, as_json: bool) -> None:
    """Open runs taken over after `kill -9` of their orchestrator (10,000 unless said)."""
    done = asyncio.run(taking_over.measure(runs or 10_000))
    figures = {
        "runs_taken_over": done.runs,
        "runs_open": done.open_runs,
        "seconds_to_first_command": round(done.to_first, 2),
        "seconds_to_all_commands": round(done.to_all, 2),
    }
    _show("recover", figures, as_json=as_json)


def _throughput(done: load.Throughput, agents: int) -> dict[str, Any]:
    return {
        "runs": done.runs,
        "tasks": done.tasks,
        "agents": agents,
        "seconds": round(done.seconds, 3),
        "tasks_per_second": round(done.tasks_per_second, 1),
    }


_SETTINGS: Final = {"store": "sqlite, synchronous=FULL", "nats": "file storage"}


def _show(
    name: str,
    figures: Mapping[str, Any],
    *,
    as_json: bool,
    settings: Mapping[str, Any] = _SETTINGS,
) -> None:
    if as_json:
        whole = {"bench": name, **figures, "settings": dict(settings), "hardware": load.hardware()}
        click.echo(orjson.dumps(whole).decode())
        return
    table = Table(title=f"bench {name}", show_header=False)
    for key, value in figures.items():
        table.add_row(key.replace("_", " "), str(value))
    Console().print(table)
