"""Every feature of the saga, while orchestrators die at its commits, and the bus errs."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from integration.recovery.plays import MERGE, PLAYS
from integration.recovery.stage import EACH, Fuse, Moment, Play, perform, stage_of

from dalsegno_bus.memory import Faults
from dalsegno_orchestrator import service

pytestmark = pytest.mark.slow
SIDE_BY_SIDE = 6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds to make good on a real system takes less here."""
    monkeypatch.setattr(service, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("dalsegno_bus.topology.INBOX_ACK_WAIT_SECONDS", 0.4)


@pytest.mark.parametrize("name", PLAYS)
async def test_an_orchestrator_may_die_and_the_bus_lose_all_at_any_commit(
    name: str, tmp_path: Path
) -> None:
    undisturbed = Fuse()
    async with stage_of(PLAYS[name], tmp_path / "undisturbed") as stage:
        await perform(stage, undisturbed)
        expected = stage.outcomes()
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def disturbed(at: int, moment: Moment) -> None:
        async with gate, stage_of(PLAYS[name], tmp_path / f"{moment}-{at}") as stage:
            await perform(stage, Fuse(at, moment))
            assert stage.outcomes() == expected, (moment, at)

    async with asyncio.TaskGroup() as group:
        for at in range(1, undisturbed.events + 1):
            group.create_task(disturbed(at, "after"))
            group.create_task(disturbed(at, "wipe"))


async def test_what_attempts_share_survives_a_bus_that_loses_all(tmp_path: Path) -> None:
    async with stage_of(MERGE, tmp_path) as stage:
        await perform(stage, Fuse(EACH, "wipe"))
        stage.check_views(tmp_path)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_orchestrators_may_die_at_every_commit(moment: Moment, tmp_path: Path) -> None:
    async def with_deaths(play: Play, folder: Path) -> None:
        async with stage_of(play, folder) as stage:
            fuse = Fuse(EACH, moment)
            await perform(stage, fuse)
            assert fuse.burnt
            stage.check_views(folder)

    await each(with_deaths, tmp_path)


async def test_two_orchestrators_share_the_inbox_all_along(tmp_path: Path) -> None:
    async def by_two(play: Play, folder: Path) -> None:
        async with stage_of(play, folder) as stage:
            await perform(stage, Fuse(), Fuse())

    await each(by_two, tmp_path)


async def test_of_two_orchestrators_each_may_die_at_every_commit(tmp_path: Path) -> None:
    async def by_two(play: Play, folder: Path) -> None:
        async with stage_of(play, folder) as stage:
            await perform(stage, Fuse(EACH, "after"), Fuse(EACH, "before"))

    await each(by_two, tmp_path)


@pytest.mark.parametrize("seed", range(2))
async def test_the_bus_loses_doubles_and_shuffles(seed: int, tmp_path: Path) -> None:
    faults = Faults(seed=seed, lose=0.1, double=0.2, shuffle=0.2)

    async def on_a_bad_bus(play: Play, folder: Path) -> None:
        async with stage_of(play, folder, faults=faults) as stage:
            await perform(stage, Fuse())

    await each(on_a_bad_bus, tmp_path)


async def each(give: Callable[[Play, Path], Awaitable[None]], folder: Path) -> None:
    """Give every play, some of them side by side."""
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(play: Play) -> None:
        async with gate:
            try:
                await give(play, folder / play.name)
            except BaseException as error:
                error.add_note(f"the play is {play.name!r}")
                raise

    async with asyncio.TaskGroup() as group:
        for play in PLAYS.values():
            group.create_task(one(play))
