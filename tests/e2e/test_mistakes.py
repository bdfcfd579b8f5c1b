"""Servers that are not there: services say so and wait; a port that somebody has ends `up`."""

import asyncio
import signal
import socket
from collections.abc import Iterator

import pytest

from dalsegno_bus.waiting import WAITS
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


async def waits(commands: Commands, *lines: tuple[str, ...], **environment: str) -> list[str]:
    """What services that run side by side wait for, until they are told to stop."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_waits(commands, *line, **environment)) for line in lines]
    return [task.result() for task in tasks]


async def _waits(commands: Commands, *arguments: str, **environment: str) -> str:
    command = await commands.start(*arguments, **environment)
    line = await command.says(WAITS)
    command.process.send_signal(signal.SIGTERM)
    code, out = await command.ended()
    assert (code, out) == (0, ""), command.said
    assert not any("Traceback" in line for line in command.said)
    return line


async def test_a_port_in_use(commands: Commands, taken_port: int) -> None:
    url = f"nats://127.0.0.1:{taken_port}"
    line = await one_sentence(commands, "up", DALSEGNO_NATS_URL=url)
    assert f"port {taken_port} is in use" in line
    assert "DALSEGNO_NATS_URL" in line


async def test_no_nats(commands: Commands, silent_port: int) -> None:
    url = f"nats://127.0.0.1:{silent_port}"
    services = (("agent", BENCH), ("orchestrator",), ("projections",))
    for line in await waits(commands, *services, DALSEGNO_NATS_URL=url):
        assert f"no NATS server answers at {url}" in line


async def test_no_database(commands: Commands, silent_port: int) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{silent_port}/books"
    services = (("orchestrator",), ("projections",))
    for line in await waits(commands, *services, DALSEGNO_STORE_URL=url):
        assert f"127.0.0.1:{silent_port}/books" in line
        assert "secret" not in line


async def test_a_stack_whose_database_is_away_says_which_service_misses_it(
    commands: Commands, silent_port: int
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nats = f"nats://127.0.0.1:{free.getsockname()[1]}"
    store = f"postgresql://127.0.0.1:{silent_port}/books"
    up = ("up", "--agent", BENCH)
    command = await commands.start(*up, DALSEGNO_NATS_URL=nats, DALSEGNO_STORE_URL=store)
    waiting: set[str] = set()
    while waiting != {"orchestrator", "projections"}:  # whichever says it first
        line = await command.says(" waits: ")
        assert f"127.0.0.1:{silent_port}/books" in line
        waiting.add(line.split()[0])
    command.process.send_signal(signal.SIGINT)
    code, out = await command.ended()
    assert (code, out) == (130, "")
    assert command.descendants == []
