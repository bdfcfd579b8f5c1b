"""The servers of a stand can be spoilt as a nemesis wants, and what a bus makes of that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.databases import PostgresServer, SqliteFile, database_of
from chaos.nats import cluster
from dalsegno_bus.bus import Bus, Entry
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.nats import connect
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of
from dalsegno_orchestrator.store import Store

pytestmark = pytest.mark.slow
SUBJECTS = Subjects(namespace="servers", partitions=1)
SECONDS_MAX = 30.0


async def next_value(entries: AsyncIterator[Entry | None]) -> Entry:
    """The next key that has a value."""
    async with asyncio.timeout(SECONDS_MAX):
        async for entry in entries:
            if entry is not None and entry.value is not None:
                return entry
    raise AssertionError("the watch has ended")


async def provisioned(bus: Bus) -> None:
    """As soon as the servers have agreed on who leads them."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            try:
                await bus.provision(topology_of(SUBJECTS))
            except Unavailable:
                continue
            else:
                return


async def test_a_watch_tells_the_old_values_that_servers_came_back_with(tmp_path: Path) -> None:
    [node] = cluster(tmp_path, 1)
    await node.start_again()
    bus = await connect(node.url, name="test")
    try:
        await bus.provision(topology_of(SUBJECTS))
        bucket = bus.bucket(SUBJECTS.leases_bucket)
        old = await bucket.put("partition.0", b"old")
        node.kill()
        node.copy_data()
        await node.start_again()
        await bucket.put("partition.0", b"new")
        async with bucket.watch() as entries:
            assert (await next_value(entries)).value == b"new"

            node.kill()
            node.restore_data()
            await node.start_again()

            told = await next_value(entries)
            assert (told.value, told.revision) == (b"old", old)
            assert await bucket.update("partition.0", b"newer", told.revision) is not None
    finally:
        await bus.close()
        node.kill()


async def test_three_servers_find_each_other_and_tell_clients_of_none(tmp_path: Path) -> None:
    nodes = cluster(tmp_path, 3)
    try:
        for node in nodes:
            await node.start_again()
        bus = await connect(nodes[0].url, name="test")
        try:
            await provisioned(bus)
            bucket = bus.bucket(SUBJECTS.leases_bucket)
            revision = await bucket.put("partition.0", b"here")
            entry = await bucket.get("partition.0")
            assert entry is not None
            assert entry.revision == revision
        finally:
            await bus.close()
    finally:
        for node in nodes:
            node.kill()


async def test_postgresql_is_killed_locked_and_frozen_and_comes_back() -> None:
    server = database_of("postgres", Path())
    assert isinstance(server, PostgresServer)
    try:
        await server.start()
        store = Store(server.url(None), namespace="servers")
        store.ensure_schema()
        server.kill()
        await server.start()
        server.pause()
        server.resume()
        server.lock(read_only=True)
        server.lock(read_only=False)
        assert store.newest_position() == 0
        store.close()
    finally:
        await server.stop()
        server.remove()


def test_a_file_needs_no_server(tmp_path: Path) -> None:
    database = database_of("sqlite", tmp_path)

    assert isinstance(database, SqliteFile)
    assert database.port is None
    assert database.url(None).endswith("store.db")
