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
from typing import Any, Final

from dalsegno_agents.agent import Agent
from dalsegno_agents.loading import load_agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import DalsegnoError, SettingsError
from dalsegno_bus.health import serve_health
from dalsegno_bus.ids import new_replica_id
from dalsegno_bus.logs import log, setup_logging
from dalsegno_bus.nats import connect
from dalsegno_bus.settings import read_settings
from dalsegno_bus.telemetry import SERVICE_PREFIX, start_tracing

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

    A second signal ends the process at once; what it had in hand is delivered again.

    Raises:
        DalsegnoError: A setting is wrong, or a server cannot be reached.
    """
    replica = new_replica_id()
    artifacts = ArtifactStore(settings.artifacts_url)
    service = f"{SERVICE_PREFIX}agent-{agent.name}"
    bus = await connect(settings.nats_url, name=f"{service}-{replica}")
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
    try:
        with _signals(worker, drain_seconds=settings.drain_seconds):
            async with _health(settings.health_port, worker.problems):
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
    numbers = (signal.SIGTERM, signal.SIGINT)

    def on_signal(number: signal.Signals) -> None:
        for each in numbers:  # the next one does what it does to any process
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        worker.stop()
        loop.call_later(drain_seconds + LEAVE_SECONDS_MAX, _give_up)
        log(_logger, "info", "agent.told_to_stop", signal=number.name)

    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _leave_in_time() -> None:
    asyncio.get_running_loop().call_later(LEAVE_SECONDS_MAX, _give_up)


def _give_up() -> None:
    """End the process: a handler has ignored its cancellation. Its task is delivered again."""
    log(_logger, "error", "agent.gave_up")
    logging.shutdown()
    os._exit(1)


@contextlib.asynccontextmanager
async def _health(
    port: int | None, problems: Callable[[], list[str]]
) -> AsyncGenerator[None, None]:
    async with contextlib.AsyncExitStack() as stack:
        if port is not None:
            try:
                await stack.enter_async_context(serve_health(port, problems))
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
