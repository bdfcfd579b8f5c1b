"""Servers that are not there, or that somebody else has: each service says so, and ends with 2."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from support.commands import Commands

pytestmark = pytest.mark.slow
BENCH = "dalsegno.bench.agents:agent"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that somebody holds, and on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def one_sentence(commands: Commands, *arguments: str, **environment: str) -> str:
    """The one line that a command ends with, after it ended with 2."""
    code, out, said = await commands.run(*arguments, **environment)
    assert (code, out) == (2, ""), said
    [line] = [line for line in said if line.startswith("dalsegno")]
    assert said[-1] == line, "nothing follows the sentence, no traceback either"
    return line


async def sentences(commands: Commands, *lines: tuple[str, ...], **environment: str) -> list[str]:
    """The sentences of commands that run side by side."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one_sentence(commands, *line, **environment)) for line in lines]
    return [task.result() for task in tasks]


async def test_a_port_in_use(commands: Commands, taken_port: int) -> None:
    url = f"nats://127.0.0.1:{taken_port}"
    line = await one_sentence(commands, "up", DALSEGNO_NATS_URL=url)
    assert f"port {taken_port} is in use" in line
    assert "DALSEGNO_NATS_URL" in line


async def test_no_nats(commands: Commands, silent_port: int) -> None:
    url = f"nats://127.0.0.1:{silent_port}"
    services = (("agent", BENCH), ("orchestrator",), ("projections",))
    for line in await sentences(commands, *services, DALSEGNO_NATS_URL=url):
        assert f"no NATS server answers at {url}" in line


async def test_no_database(commands: Commands, silent_port: int) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{silent_port}/books"
    services = (("orchestrator",), ("projections",))
    for line in await sentences(commands, *services, DALSEGNO_STORE_URL=url):
        assert f"127.0.0.1:{silent_port}/books does not answer" in line
        assert "secret" not in line


async def test_a_stack_whose_database_is_away_says_which_service_misses_it(
    commands: Commands, silent_port: int
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nats = f"nats://127.0.0.1:{free.getsockname()[1]}"
    store = f"postgresql://127.0.0.1:{silent_port}/books"
    up = ("up", "--agent", BENCH)
    code, out, said = await commands.run(*up, DALSEGNO_NATS_URL=nats, DALSEGNO_STORE_URL=store)
    assert (code, out) == (2, "")
    assert any("ended with exit code 2" in line for line in said), said
    assert "does not answer" in said[-1]
    assert commands.started[0].descendants == []
