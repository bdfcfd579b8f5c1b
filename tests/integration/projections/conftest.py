"""Stores and views on SQLite and PostgreSQL, and a desk at which questions are asked."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from integration.projections.databases import Databases
from integration.projections.desk import Desk, Kept, service

from dalsegno_bus.memory import MemoryBroker, MemoryBus


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(
    request: pytest.FixtureRequest, tmp_path: Path, namespace: str
) -> Iterator[Databases]:
    """The same twice: on SQLite, and on PostgreSQL."""
    if request.param == "sqlite":
        made = Databases(
            f"sqlite:///{tmp_path}/store.db", f"sqlite:///{tmp_path}/views.db", namespace
        )
    else:
        url: str = request.getfixturevalue("postgres_url")
        made = Databases(url, url, namespace)
    with made.opened:
        yield made


@pytest.fixture
def sqlite(tmp_path: Path, namespace: str) -> Iterator[Databases]:
    """Only on SQLite, where nothing depends on the kind of database."""
    made = Databases(f"sqlite:///{tmp_path}/store.db", f"sqlite:///{tmp_path}/views.db", namespace)
    with made.opened:
        yield made


@pytest.fixture
async def desk(databases: Databases) -> AsyncIterator[Desk]:
    """Over the bus in memory, with views on SQLite and on PostgreSQL."""
    broker = MemoryBroker()
    async with service(databases, MemoryBus(broker), MemoryBus(broker), Kept()) as opened:
        yield opened


@pytest.fixture
async def plain(sqlite: Databases) -> AsyncIterator[Desk]:
    """On SQLite alone, and without an endpoint for traces."""
    broker = MemoryBroker()
    async with service(sqlite, MemoryBus(broker), MemoryBus(broker), None) as opened:
        yield opened
