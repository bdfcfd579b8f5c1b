"""What tests of every kind share: one real NATS server, and a namespace of one's own."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from dalsegno_bus.embedded import EmbeddedServer
from support.postgres import postgres_server

settings.register_profile("patient", deadline=None)  # a busy machine is not a fault
settings.load_profile("patient")

LONG_ONES = ("simulation", "chaos", "e2e", "contract", "integration")
"""Folders whose tests take long: begun first, so that all workers end together."""

_NUMBERS = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    items.sort(key=lambda item: _place(item.path.relative_to(root).parts[0]))


def _place(folder: str) -> int:
    return LONG_ONES.index(folder) if folder in LONG_ONES else len(LONG_ONES)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A NATS server with JetStream; all tests share it, so use your own `namespace`."""
    server = EmbeddedServer(tmp_path_factory.mktemp("nats"))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server; all tests share it, so use your own `namespace`."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{next(_NUMBERS)}"
