"""What tests of every kind share: one real NATS server, and a namespace of one's own."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import settings

from dalsegno_bus.embedded import EmbeddedServer
from support.postgres import postgres_server

settings.register_profile("patient", deadline=None)  # a busy machine is not a fault
settings.load_profile("patient")

_NUMBERS = itertools.count(1)


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
