"""The database goes away under working orchestrators: they wait, say so and go on."""

import asyncio
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
from integration.recovery.database_servers import OwnPostgres, own_postgres
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.store import Store
from support.world import SECONDS_MAX, World, until

STEPS = 4
RUNS = 8
KILLS = 6
TASKS = {
    "t0": {"capability": "add", "input": "${ input }"},
    **{
        f"t{number}": {"capability": "add", "input": f"${{ tasks.t{number - 1} }}"}
        for number in range(1, STEPS)
    },
}
Fault: TypeAlias = Literal[
    "locked", "taken away", "refusing", "stopped", "read-only", "full", "slow"
]


class Number(BaseModel):
    value: int


def adder() -> Agent[None]:
    agent: Agent[None] = Agent("adder", deps=None, concurrency=20)

    @agent.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        del context
        return Number(value=number.value + 1)

    return agent


@pytest.fixture(scope="module")
def own_server_of_events() -> Iterator[OwnPostgres]:
    with own_postgres() as server:
        yield server


@pytest.fixture
def world_on_postgres(own_server_of_events: OwnPostgres, world: World) -> World:
    """The world in memory, but for its event store."""
    url = own_server_of_events.url
    world.store.close()
    world.settings = world.settings.model_copy(update={"store_url": url})
    world.store = Store(url, namespace=world.settings.namespace)
    world.store.ensure_schema()
    return world


@asynccontextmanager
async def working(world: World) -> AsyncGenerator[Orchestrator]:
    async with world.orchestrator() as orchestrator, world.worker(adder()):
        await world.register("chain", TASKS)
        await world.until_known("adder")
        yield orchestrator


async def start(world: World, runs: list[RunId]) -> None:
    """Start a run; what was accepted is there, and not before."""
    accepted = await world.client.start("chain", {"value": 0})
    runs.append(accepted.run_id)


async def check(world: World, runs: list[RunId]) -> None:
    """Every run ended as it would have, and nothing of it was recorded twice."""
    for run_id in runs:
        ended = await world.result(run_id)
        assert ended.status == "completed"
        counts = Counter(
            (recorded.event.kind, getattr(recorded.event, "task_id", None))
            for recorded in world.history(run_id)
            if recorded.event.kind.startswith(("run-", "task-completed"))
        )
        assert set(counts.values()) == {1}
        assert len(counts) == STEPS + 2
    open_ones = world.store.open_runs(range(world.subjects.partitions))
    assert not {entry.run_id for entry in open_ones} & set(runs)
    assert [row for row in world.store.permits() if row.given_back_at is None] == []


async def go_through(world: World, fault: AbstractContextManager[None]) -> None:
    runs: list[RunId] = []
    async with working(world) as orchestrator:
        for _ in range(RUNS):
            await start(world, runs)
        async with asyncio.TaskGroup() as group:
            await asyncio.to_thread(fault.__enter__)
            for _ in range(RUNS):
                group.create_task(start(world, runs))
            try:
                await until(lambda: orchestrator.problems() != [])
                assert any("waits for the event store" in one for one in orchestrator.problems())
                assert len(runs) == RUNS  # nobody was told yes
            finally:
                await asyncio.to_thread(fault.__exit__, None, None, None)
        assert len(runs) == 2 * RUNS
        await check(world, runs)
        await until(lambda: orchestrator.problems() == [])


@contextmanager
def at_file(path: Path, namespace: str, fault: Fault) -> Generator[None]:
    """A fault of the file, until the block ends."""
    admin = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    away = path.parent / "away"
    files = [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
    match fault:
        case "locked":
            begin, end = "BEGIN IMMEDIATE", "ROLLBACK"
        case "refusing":
            begin = (
                f"CREATE TRIGGER fault BEFORE INSERT ON {namespace}_events "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
            end = "DROP TRIGGER fault"
        case _:
            begin, end = "SELECT 1", "SELECT 1"
            away.mkdir()
    _repeat(admin, begin)
    if away.exists():
        for one in files:
            one.rename(away / one.name)
    try:
        yield
    finally:
        if away.exists():
            for one in files:
                (away / one.name).rename(one)
        _repeat(admin, end)
        admin.close()


def _repeat(admin: sqlite3.Connection, statement: str) -> None:
    """Others write at the same time."""
    for _ in range(100):
        try:
            admin.execute(statement)
        except sqlite3.OperationalError:
            continue
        return
    raise AssertionError(statement)


@contextmanager
def at_server(server: OwnPostgres, namespace: str, fault: Fault) -> Generator[None]:
    """A fault of the server, until the block ends."""
    table = f"{namespace}_events"
    match fault:
        case "stopped":
            server.stop()
        case "read-only":
            server.run("ALTER DATABASE postgres SET default_transaction_read_only = on")
            server.kill_connections()
        case _:
            body = (
                "PERFORM pg_sleep(6)"
                if fault == "slow"
                else "RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'"
            )
            server.run(
                "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS "
                f"$$ BEGIN {body}; RETURN NULL; END $$"
            )
            server.run(f"CREATE TRIGGER fault BEFORE INSERT ON {table} EXECUTE FUNCTION fault()")
    try:
        yield
    finally:
        if fault == "stopped":
            server.start()
        elif fault == "read-only":
            server.run("ALTER DATABASE postgres RESET default_transaction_read_only")
        else:
            server.run(f"DROP TRIGGER fault ON {table}")


@pytest.mark.parametrize("fault", ["locked", "taken away", "refusing"])
async def test_runs_wait_for_the_file_and_none_is_lost_or_done_twice(
    world: World, fault: Fault
) -> None:
    path = Path(world.settings.store_url.removeprefix("sqlite:///"))
    await go_through(world, at_file(path, world.settings.namespace, fault))


@pytest.mark.parametrize("fault", ["stopped", "read-only", "full", "slow"])
async def test_runs_wait_for_the_server_and_none_is_lost_or_done_twice(
    world_on_postgres: World, own_server_of_events: OwnPostgres, fault: Fault
) -> None:
    world = world_on_postgres
    await go_through(world, at_server(own_server_of_events, world.settings.namespace, fault))


async def test_connections_that_are_killed_again_and_again_lose_nothing(
    world_on_postgres: World, own_server_of_events: OwnPostgres
) -> None:
    world, server, runs = world_on_postgres, own_server_of_events, list[RunId]()
    killed = 0
    async with working(world):
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
            for _ in range(RUNS):
                group.create_task(start(world, runs))
            while killed < KILLS:
                found = await asyncio.to_thread(server.kill_connections)
                killed += found
                if found:
                    group.create_task(start(world, runs))
        assert len(runs) > RUNS
        await until(lambda: _answers(world))
        await check(world, runs)


def _answers(world: World) -> bool:
    try:
        world.store.newest_position()
    except Unavailable:
        return False
    return True


async def test_an_orchestrator_that_begins_before_its_database_waits_for_it(
    own_server_of_events: OwnPostgres, nats_server: EmbeddedServer, namespace: str
) -> None:
    own_server_of_events.stop()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dalsegno_orchestrator",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "DALSEGNO_NATS_URL": nats_server.url,
            "DALSEGNO_STORE_URL": own_server_of_events.url,
            "DALSEGNO_NAMESPACE": namespace,
        },
    )
    try:
        await _says(process, "start.waits")
        await asyncio.to_thread(own_server_of_events.start)
        await _says(process, "orchestrator_ready")
        process.terminate()
        async with asyncio.timeout(SECONDS_MAX):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            own_server_of_events.start()


async def _says(process: asyncio.subprocess.Process, word: str) -> None:
    """Return when the process has logged this."""
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS_MAX):
        while word not in (line := (await process.stdout.readline()).decode()):
            assert line
