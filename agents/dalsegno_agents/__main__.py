"""`python -m dalsegno_agents MODULE:AGENT`: one replica of one agent, as a process.

Everything that a replica needs is built here and handed on.
"""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from dalsegno_agents.agent import Agent
from dalsegno_agents.loading import load_agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_agents.worker import Worker
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.clock import utc_now
from dalsegno_bus.hosting import Host, heed_no_more_signals, host, run
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


async def run_agent(
    agent: Agent[Any], settings: AgentSettings, *, now: Callable[[], datetime] = utc_now
) -> None:
    """Connect, work until SIGTERM or SIGINT or a drain, finish what is in hand, close.

    Waits for servers that are away. A second signal ends the process at once; what it had in hand
    is delivered again.

    Args:
        agent: What to do.
        settings: How to work.
        now: The clock (UTC).

    Raises:
        DalsegnoError: A setting is wrong.
    """
    replica = new_replica_id()
    artifacts = ArtifactStore(settings.artifacts_url)
    service = f"{SERVICE_PREFIX}agent-{agent.name}"

    async def serve(hosted: Host) -> None:
        opened = partial(connect, settings.nats_url, name=f"{service}-{replica}")
        bus = await hosted.reach("nats", opened)
        tracing = start_tracing(settings.otlp_endpoint, service)
        if tracing is not None:
            tracing.adopt()
        worker = Worker(
            agent,
            bus,
            settings=settings,
            artifacts=artifacts,
            now=now,
            replica=replica,
            tracing=tracing,
            on_leave=_leave_in_time,
        )
        hosted.hand_over(
            stop=partial(_stop, worker, drain_seconds=settings.drain_seconds),
            problems=lambda: [*bus.problems(), *worker.problems()],
        )
        try:
            await worker.run()
        finally:
            await bus.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.shutdown)

    await host(serve, health_port=settings.health_port)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one replica; return 0 after an orderly end, 2 if it could not begin."""
    options = _parser().parse_args(argv)

    def begin() -> Coroutine[None, None, None]:
        settings = read_settings(AgentSettings)
        if options.concurrency is not None:
            settings = settings.model_copy(update={"concurrency": options.concurrency})
        agent = load_agent(options.agent)
        setup_logging(settings.log_format, settings.log_level, f"agent-{agent.name}")
        return run_agent(agent, settings)

    return run("agent", begin)


def _stop(worker: Worker, *, drain_seconds: float) -> None:
    heed_no_more_signals()  # the next one ends it at once
    worker.stop()
    asyncio.get_running_loop().call_later(drain_seconds + LEAVE_SECONDS_MAX, _give_up)


def _leave_in_time() -> None:
    asyncio.get_running_loop().call_later(LEAVE_SECONDS_MAX, _give_up)


def _give_up() -> None:
    """End the process: a handler has ignored its cancellation. Its task is delivered again."""
    log(_logger, "error", "agent.gave_up")
    logging.shutdown()
    os._exit(1)


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


if __name__ == "__main__":
    sys.exit(main())
