"""`python -m dalsegno_agents MODULE:AGENT`: one replica of one agent, as a process.

Everything that a replica needs is built here and handed on.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from functools import partial
from typing import Any, Final

from dalsegno_agents.agent import Agent
from dalsegno_agents.loading import load_agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import DalsegnoError, SettingsError
from dalsegno_bus.health import serve_health
from dalsegno_bus.ids import ReplicaId, new_replica_id
from dalsegno_bus.logs import log, setup_logging
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.settings import read_settings
from dalsegno_bus.telemetry import SERVICE_PREFIX, start_tracing
from dalsegno_bus.waiting import patiently

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)

LEAVE_SECONDS_MAX: Final = 5.0
"""After its drain a process has so long to leave in order; then it ends anyway."""

_EXAMPLE: Final = """example:
  python -m dalsegno_agents my_agents:analyst --concurrency 4

Where the servers are, and all else, comes from dalsegno.toml or the environment:
DALSEGNO_NATS_URL, DALSEGNO_NAMESPACE, DALSEGNO_DRAIN_SECONDS, OTEL_EXPORTER_OTLP_ENDPOINT, ...
"""

_logger = logging.getLogger("dalsegno.agent")


async def run_agent(agent: Agent[Any], settings: AgentSettings) -> None:
    """Connect, work until SIGTERM or SIGINT or a drain, finish what is in hand, close.

    Waits for servers that are away. A second signal ends the process at once; what it had in hand
    is delivered again.

    Raises:
        DalsegnoError: A setting is wrong.
    """
    replica = new_replica_id()
    artifacts = ArtifactStore(settings.artifacts_url)
    health = _Health()
    async with health.served(settings.health_port):
        name = f"{SERVICE_PREFIX}agent-{agent.name}-{replica}"
        bus = await _reach(settings.nats_url, name=name, on_fault=health.is_waiting)
        if bus is not None:
            await _work(agent, settings, bus, replica, artifacts, health)


async def _reach(url: str, *, name: str, on_fault: Callable[[str], object]) -> NatsBus | None:
    """A connection, as soon as there is a server; None: told to stop before."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        reaching = group.create_task(
            patiently("nats", partial(connect, url, name=name), on_fault=on_fault)
        )
        for number in _STOPS:
            loop.add_signal_handler(number, reaching.cancel)
    return None if reaching.cancelled() else reaching.result()


async def _work(
    agent: Agent[Any],
    settings: AgentSettings,
    bus: NatsBus,
    replica: ReplicaId,
    artifacts: ArtifactStore,
    health: "_Health",
) -> None:
    service = f"{SERVICE_PREFIX}agent-{agent.name}"
    tracing = start_tracing(settings.otlp_endpoint, service)
    if tracing is not None:
        tracing.adopt()
    worker = Worker(
        agent,
        bus,
        settings=settings,
        artifacts=artifacts,
        now=utc_now,
        replica=replica,
        tracing=tracing,
        on_leave=_leave_in_time,
    )
    health.parts = (bus.problems, worker.problems)
    try:
        with _signals(worker, drain_seconds=settings.drain_seconds):
            await worker.run()
    finally:
        await bus.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.shutdown)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one replica; return 0 after an orderly end, 2 if it could not begin."""
    options = _parser().parse_args(argv)
    try:
        settings = read_settings(AgentSettings)
        if options.concurrency is not None:
            settings = settings.model_copy(update={"concurrency": options.concurrency})
        agent = load_agent(options.agent)
        setup_logging(settings.log_format, settings.log_level, f"agent-{agent.name}")
        asyncio.run(run_agent(agent, settings))
    except* DalsegnoError as errors:
        sys.stderr.write(f"dalsegno agent: {_first(errors)}\n")
        exit_code = 2
    else:
        exit_code = 0
    return exit_code


@contextlib.contextmanager
def _signals(worker: Worker, *, drain_seconds: float) -> Generator[None, None, None]:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        for each in _STOPS:  # the next one does what it does to any process
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        worker.stop()
        loop.call_later(drain_seconds + LEAVE_SECONDS_MAX, _give_up)
        log(_logger, "info", "agent.told_to_stop", signal=number.name)

    for number in _STOPS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _STOPS:
            loop.remove_signal_handler(number)


def _leave_in_time() -> None:
    asyncio.get_running_loop().call_later(LEAVE_SECONDS_MAX, _give_up)


def _give_up() -> None:
    """End the process: a handler has ignored its cancellation. Its task is delivered again."""
    log(_logger, "error", "agent.gave_up")
    logging.shutdown()
    os._exit(1)


class _Health:
    """What keeps this replica from working, from before it is connected."""

    def __init__(self) -> None:
        self.parts: Sequence[Callable[[], list[str]]] = ()
        self._waits_for = "not yet connected"

    def is_waiting(self, reason: str) -> None:
        self._waits_for = reason

    def problems(self) -> list[str]:
        if not self.parts:
            return [self._waits_for]
        return [problem for part in self.parts for problem in part()]

    @contextlib.asynccontextmanager
    async def served(self, port: int | None) -> AsyncGenerator[None, None]:
        async with contextlib.AsyncExitStack() as stack:
            if port is not None:
                try:
                    await stack.enter_async_context(serve_health(port, self.problems))
                except OSError as error:
                    raise SettingsError(f"DALSEGNO_HEALTH_PORT={port}: {error.strerror}") from error
            yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dalsegno_agents",
        description="Run one replica of an agent until it is told to stop (SIGTERM, Ctrl-C).",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "agent", metavar="MODULE:AGENT", help="a module and the name of an Agent in it"
    )
    parser.add_argument(
        "--concurrency",
        type=_positive,
        metavar="N",
        help="how many attempts to work on at a time (default: as the agent says)",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number


def _first(errors: BaseExceptionGroup[DalsegnoError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


if __name__ == "__main__":
    sys.exit(main())
