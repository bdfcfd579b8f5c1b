"""The process around a service, from its first moment to its end."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from dalsegno_bus import hosting
from dalsegno_bus.errors import SettingsError, Unavailable
from dalsegno_bus.health import serve_health
from dalsegno_bus.hosting import STOPS, Host, host

SECONDS_MAX = 20.0


class Service:
    """Works until it is stopped."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.seen: list[object] = []

    async def serve(self, hosted: Host) -> None:
        self.seen += hosted.problems()
        hosted.hand_over(
            stop=self.stopped.set, problems=lambda: ["it rests"], counts=lambda: {"done": 7}
        )
        self.seen += [*hosted.problems(), hosted.counts()]
        os.kill(os.getpid(), signal.SIGTERM)
        await self.stopped.wait()


async def nothing_there() -> None:
    raise Unavailable("no server answers")


async def test_a_service_answers_for_itself_once_it_works_and_ends_itself() -> None:
    service = Service()
    async with asyncio.timeout(SECONDS_MAX):
        await host(service.serve, health_port=None)
    assert service.seen == ["it is starting", "it rests", {"done": 7}]


@pytest.mark.parametrize("number", STOPS)
async def test_a_signal_ends_what_waits_for_a_server(number: signal.Signals) -> None:
    closed: list[str] = []

    async def serve(hosted: Host) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(kill_when_known(hosted))
                await hosted.reach("nats", nothing_there)
        finally:
            closed.append("in order")

    async def kill_when_known(hosted: Host) -> None:
        while list(hosted.problems()) != ["no server answers"]:  # noqa: ASYNC110 - health rings no bell
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), number)

    async with asyncio.timeout(SECONDS_MAX):
        await host(serve, health_port=None)
    assert closed == ["in order"]


async def test_a_signal_before_a_service_works_ends_it_though_its_server_is_there_now() -> None:
    async def serve(hosted: Host) -> None:
        hosted.on_signal(signal.SIGTERM)
        hosted.hand_over(stop=list, problems=list)
        await asyncio.Event().wait()

    async with asyncio.timeout(SECONDS_MAX):
        await host(serve, health_port=None)


async def test_a_service_that_runs_into_a_timeout_of_its_own_has_failed() -> None:
    async def serve(hosted: Host) -> None:
        del hosted
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await host(serve, health_port=None)


async def test_a_port_that_somebody_has_keeps_a_service_from_beginning() -> None:
    async with serve_health(0, list) as port:
        with pytest.raises(SettingsError, match=f"DALSEGNO_HEALTH_PORT: port {port}"):
            await host(Service().serve, health_port=port)


def test_what_keeps_a_service_from_beginning_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(refuse())

    async def refuse() -> None:
        raise SettingsError("DALSEGNO_X: give another")

    assert hosting.run("band", fail) == 2
    assert capsys.readouterr().err == "dalsegno band: DALSEGNO_X: give another\n"


TWICE = """
import asyncio, os, signal
from dalsegno_bus.hosting import heed_no_more_signals, host

async def serve(hosted):
    hosted.hand_over(stop=heed_no_more_signals, problems=list)
    for _ in range(2):
        os.kill(os.getpid(), signal.{name})
        await asyncio.sleep(0.01)
    await asyncio.sleep(20)

asyncio.run(host(serve, health_port=None))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", STOPS)
def test_after_signals_are_heeded_no_more_one_ends_the_process_at_once(
    number: signal.Signals,
) -> None:
    code = TWICE.format(name=number.name)
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=SECONDS_MAX)
    assert ended.returncode == -number
