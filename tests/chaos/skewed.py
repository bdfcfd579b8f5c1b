"""`python -m chaos.skewed --seconds S orchestrator|MODULE:AGENT`: a service whose clock is wrong.

It is the service itself, which is handed its clock as all our services are; this one is S seconds
ahead (behind, if negative) for as long as the process lives.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from dalsegno_agents.__main__ import run_agent
from dalsegno_agents.loading import load_agent
from dalsegno_agents.settings import AgentSettings
from dalsegno_bus.clock import utc_now
from dalsegno_bus.hosting import run
from dalsegno_bus.logs import setup_logging
from dalsegno_bus.settings import read_settings
from dalsegno_orchestrator.process import run_orchestrator
from dalsegno_orchestrator.settings import OrchestratorSettings


def clock(seconds: float) -> Callable[[], datetime]:
    """A clock (UTC) that is so much ahead; negative: behind."""
    return lambda: utc_now() + timedelta(seconds=seconds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0 after that, 2 if it could not begin."""
    parser = ArgumentParser("chaos.skewed", description="A service whose clock is wrong.")
    parser.add_argument("--seconds", type=float, required=True, help="ahead; negative: behind")
    parser.add_argument("service", metavar="orchestrator|MODULE:AGENT")
    asked = parser.parse_args(arguments)
    now = clock(asked.seconds)
    if asked.service == "orchestrator":
        return run("orchestrator", lambda: _orchestrator(now))
    return run("agent", lambda: _agent(asked.service, now))


async def _orchestrator(now: Callable[[], datetime]) -> None:
    await run_orchestrator(read_settings(OrchestratorSettings), now=now)


async def _agent(name: str, now: Callable[[], datetime]) -> None:
    settings, agent = read_settings(AgentSettings), load_agent(name)
    setup_logging(settings.log_format, settings.log_level, f"agent-{agent.name}")
    await run_agent(agent, settings, now=now)


if __name__ == "__main__":
    sys.exit(main())
