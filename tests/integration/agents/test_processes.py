"""`python -m dalsegno_agents`, as a container runs it."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator

import psutil
import pytest

from dalsegno_bus import codec, health
from dalsegno_bus.messages import CompletedReport, FailedReport, Wanted
from tests.integration.agents.conftest import Theatre, until, until_so

pytestmark = pytest.mark.slow

IDLE_BYTES_MAX = 70 * 1024 * 1024


@pytest.fixture
async def orchestrator(theatre: Theatre) -> AsyncGenerator[None]:
    """Whoever is asked, so that nobody waits in vain: every attempt is still wanted."""

    async def answer() -> None:
        async with theatre.bus.listen(theatre.subjects.wanted) as questions:
            async for question in questions:
                await question.answer(codec.encode(Wanted(wanted=True)))

    async with asyncio.TaskGroup() as group:
        answering = group.create_task(answer())
        yield
        answering.cancel()


async def test_a_process_works_and_stays_small(theatre: Theatre) -> None:
    process = theatre.start()
    for task in range(100):
        await theatre.command("text.echo", "la", task_id=f"t{task}")
    reports = await theatre.reports(100)

    assert {report.output["text"] for report in reports} == {"la"}
    assert len({report.task_id for report in reports}) == 100
    assert psutil.Process(process.pid).memory_info().rss < IDLE_BYTES_MAX


async def test_a_process_that_is_told_to_stop_finishes_and_leaves(
    theatre: Theatre, orchestrator: None
) -> None:
    process = theatre.start()
    await theatre.command("text.wait")
    await until(lambda: bool(theatre.begun_by()))
    process.send_signal(signal.SIGTERM)
    await theatre.until_draining()
    await theatre.command("text.echo", "la", task_id="b")
    theatre.gate.touch()
    exit_code, said = await theatre.ended(process)
    report = await theatre.report()

    assert exit_code == 0, said
    assert isinstance(report, CompletedReport)
    assert report.output == process.pid
    assert await theatre.presences() == []
    assert await theatre.card() is not None

    theatre.start()
    assert (await theatre.report()).task_id == "b"


async def test_what_a_stopping_process_cannot_finish_another_one_does(
    theatre: Theatre, orchestrator: None
) -> None:
    first = theatre.start(drain_seconds=0.1)
    await theatre.command("text.wait")
    await until(lambda: theatre.begun_by() == {first.pid})
    first.send_signal(signal.SIGINT)
    exit_code, said = await theatre.ended(first)
    second = theatre.start()
    await until(lambda: theatre.begun_by() == {first.pid, second.pid})
    theatre.gate.touch()
    report = await theatre.report()

    assert exit_code == 0, said
    assert report.output == second.pid


async def test_the_task_of_a_killed_process_goes_to_another_one(
    theatre: Theatre, orchestrator: None
) -> None:
    first = theatre.start()
    await theatre.command("text.wait")
    await until(lambda: theatre.begun_by() == {first.pid})
    second = theatre.start()
    await theatre.until_present(2)
    first.kill()
    await until(lambda: theatre.begun_by() == {first.pid, second.pid})
    theatre.gate.touch()
    report = await theatre.report()

    assert isinstance(report, CompletedReport)
    assert report.output == second.pid


async def test_a_task_that_kills_its_processes_is_reported_as_poison(
    theatre: Theatre, orchestrator: None
) -> None:
    await theatre.command("text.die")
    for deaths in range(1, 6):
        process = theatre.start()
        await until(lambda seen=deaths: len(theatre.begun_by()) == seen)
        exit_code, _ = await theatre.ended(process)
        assert exit_code == 3
    theatre.start()
    report = await theatre.report()

    assert isinstance(report, FailedReport)
    assert (report.error.code, report.retryable) == ("task.poison", False)
    assert len(theatre.begun_by()) == 5


async def test_a_second_signal_ends_a_process_at_once(theatre: Theatre) -> None:
    process = theatre.start()
    await theatre.command("text.wait")
    await until(lambda: bool(theatre.begun_by()))
    process.send_signal(signal.SIGTERM)
    await theatre.until_draining()
    process.send_signal(signal.SIGTERM)
    exit_code, _ = await theatre.ended(process)

    assert exit_code == -signal.SIGTERM


async def test_a_handler_that_ignores_its_end_does_not_keep_the_process(theatre: Theatre) -> None:
    process = theatre.start(drain_seconds=0.0)
    await theatre.command("text.stubborn")
    await until(lambda: bool(theatre.begun_by()))
    process.send_signal(signal.SIGTERM)
    exit_code, said = await theatre.ended(process)

    assert exit_code == 1
    assert "agent.gave_up" in said


@pytest.mark.parametrize(
    ("agent", "environment", "words"),
    [
        ("scribes:nobody", {}, "its agents are 'scribe'"),
        ("nowhere:scribe", {}, "there is no module 'nowhere'"),
        ("scribes:scribe", {"concurrency": "0"}, "DALSEGNO_CONCURRENCY"),
        ("scribes:scribe", {"nats_url": "http://127.0.0.1"}, "DALSEGNO_NATS_URL"),
        ("scribes:scribe", {"artifacts_url": "ftp://x"}, "DALSEGNO_ARTIFACTS_URL"),
    ],
)
async def test_what_keeps_a_process_from_beginning_is_said_in_one_line(
    theatre: Theatre, agent: str, environment: dict[str, str], words: str
) -> None:
    exit_code, said = await theatre.ended(theatre.start(agent, **environment))

    assert exit_code == 2
    assert len(said.splitlines()) == 1
    assert words in said


async def test_a_process_tells_whether_it_is_ready(theatre: Theatre) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    theatre.start(health_port=port)
    await theatre.until_present(1)

    async def ready() -> bool:
        return not await asyncio.to_thread(health.check, port)

    await until_so(ready)


async def test_after_the_server_lost_everything_a_process_works_again(
    own_theatre: Theatre,
) -> None:
    own_theatre.start()
    command = await own_theatre.command("text.wait")
    await until(lambda: bool(own_theatre.begun_by()))
    await asyncio.to_thread(own_theatre.server.restart, wipe=True)
    await own_theatre.until_present(1)
    assert await own_theatre.card() is not None

    await own_theatre.publish(command)
    own_theatre.gate.touch()
    first = await own_theatre.report()
    await own_theatre.command("text.echo", "la", task_id="b")
    while (second := await own_theatre.report()).task_id == "a":
        assert second == first  # the copy from after the loss, answered again

    assert isinstance(first, CompletedReport)
    assert second.output == {"text": "la"}
    assert len(own_theatre.begun_by()) == 1
