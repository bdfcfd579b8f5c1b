"""Every feature of the saga on a real server that loses all, while orchestrators die."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from integration.recovery.plays import PLAYS
from integration.recovery.stage import EACH, Fuse, perform, stage_of

from dalsegno_bus.bus import Bus
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.nats import connect
from dalsegno_bus.nats.connection import Connection
from dalsegno_bus.nats.frames import ApiFault
from dalsegno_orchestrator import service
from support.world import until

pytestmark = pytest.mark.slow
EVENTS_MIN = 150
"""All plays together have more."""
WIPES = 3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr("dalsegno_bus.topology.INBOX_ACK_WAIT_SECONDS", 1.0)


class Evening:
    """Every play at the same time, on one server, each in a namespace of its own."""

    def __init__(self, server: EmbeddedServer, folder: Path, namespace: str) -> None:
        self._server = server
        self._folder = folder
        self._namespace = namespace
        self._curtain = asyncio.Barrier(len(PLAYS))
        self.fuses = {name: Fuse() for name in PLAYS}
        self.namespaces = {name: f"{namespace}{number}" for number, name in enumerate(PLAYS)}

    @property
    def events(self) -> int:
        return sum(fuse.events for fuse in self.fuses.values())

    async def until_recorded(self, events: int) -> None:
        await until(lambda: self.events >= events)

    async def give_all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name in PLAYS:
                group.create_task(self._give(name))

    async def _give(self, name: str) -> None:
        async def open_one() -> Bus:
            return await connect(self._server.url, name="test")

        folder, namespace = self._folder / name, self.namespaces[name]
        try:
            async with stage_of(
                PLAYS[name], folder, connect=open_one, namespace=namespace
            ) as stage:
                stage.curtain = self._curtain
                await perform(stage, self.fuses[name])
        except BaseException as error:
            error.add_note(f"the play is {name!r}")
            raise


@pytest.fixture
def evening(own_server: EmbeddedServer, tmp_path: Path, namespace: str) -> Evening:
    return Evening(own_server, tmp_path, namespace)


async def test_every_orchestrator_may_die_at_every_commit(evening: Evening) -> None:
    for fuse in evening.fuses.values():
        fuse.at = EACH
    await evening.give_all()


async def test_nats_may_lose_all_that_it_holds_again_and_again(
    evening: Evening, own_server: EmbeddedServer
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(evening.give_all())
        for number in range(1, WIPES + 1):
            await evening.until_recorded(EVENTS_MIN * number // (WIPES + 1))
            await asyncio.to_thread(own_server.restart, wipe=True)


async def test_the_streams_may_be_deleted_while_runs_wait_for_the_ends_of_others(
    evening: Evening, own_server: EmbeddedServer
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(evening.give_all())
        admin = Connection(own_server.url)
        await admin.open("admin")
        for number in range(1, WIPES + 1):
            await evening.until_recorded(EVENTS_MIN * number // (WIPES + 1))
            for namespace in evening.namespaces.values():
                for stream in ("INBOX", "TASKS"):
                    name = f"{namespace.upper()}_{stream}"
                    with suppress(ApiFault):  # it may not have been made anew yet
                        await admin.call(f"$JS.API.STREAM.DELETE.{name}")
        await admin.shut()
