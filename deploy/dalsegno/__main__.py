"""`dalsegno`: the command line. Owns the table of commands and how a command ends.

Exit codes: 0 success, 1 a run (or a check) that failed, 2 a mistake or a server out of reach,
130 after Ctrl-C, 143 after SIGTERM.
"""

import logging
import os
import sys
from typing import Final, cast

import click

from dalsegno.lazy import Lazy, LazyGroup
from dalsegno_bus.errors import DalsegnoError

FAILED: Final = 2
INTERRUPTED: Final = 130

_HELP: Final = """Dalsegno orchestrates AI agents that are separate processes.

\b
Try it:               dalsegno demo
Start a local stack:  dalsegno up
Run a workflow on it: dalsegno run financial-report --input @mine.json --wait
Look at what it did:  dalsegno runs list

Settings come from the environment (DALSEGNO_NATS_URL, DALSEGNO_STORE_URL, …) or from
dalsegno.toml in the current folder. Commands take --folder DIR (or DALSEGNO_FOLDER) to speak
to a stack that keeps its files there, and --json for programs.
"""

COMMANDS: Final = {
    "demo": Lazy("dalsegno.commands.demo:demo", "Make a financial report of a demo company."),
    "up": Lazy("dalsegno.commands.up:up", "Run a local stack until Ctrl-C."),
    "run": Lazy("dalsegno.commands.run:run", "Start a run of a workflow."),
    "runs": Lazy("dalsegno.commands.runs:runs", "List, show, watch, steer, signal runs."),
    "history": Lazy("dalsegno.commands.history:history", "What happened in a run, by event."),
    "trace": Lazy("dalsegno.commands.trace:trace", "Where the time of a run went."),
    "workflow": Lazy("dalsegno.commands.workflow:workflow", "Check, register, list, migrate."),
    "schedules": Lazy("dalsegno.commands.schedules:schedules", "What starts runs by the clock."),
    "limits": Lazy("dalsegno.commands.limits:limits", "Set limits, and see who waits for them."),
    "agents": Lazy("dalsegno.commands.agents:agents", "Which agents there are; drain them."),
    "dead": Lazy("dalsegno.commands.dead:dead", "Messages that nobody could use."),
    "views": Lazy("dalsegno.commands.views:views", "Rebuild the views, or see how far they lag."),
    "orchestrator": Lazy("dalsegno.commands.services:orchestrator", "One orchestrator process."),
    "agent": Lazy("dalsegno.commands.services:agent", "One agent process: MODULE:AGENT."),
    "projections": Lazy("dalsegno.commands.services:projections", "One projections process."),
    "doctor": Lazy("dalsegno.commands.doctor:doctor", "What is wrong, and what to do."),
    "bench": Lazy("dalsegno.bench.commands:bench", "Measure throughput and latency."),
}


def command_line() -> LazyGroup:
    """The whole command line, nothing of it loaded yet."""
    group = LazyGroup(COMMANDS, name="dalsegno", help=_HELP)
    version = click.version_option(package_name="dalsegno", message="dalsegno %(version)s")
    return version(group)


def main() -> int:
    """Run one command and return its exit code."""
    logging.getLogger().addHandler(logging.NullHandler())  # a service sets up its own
    try:
        code = command_line().main(prog_name="dalsegno", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort as abort:  # click's name for any KeyboardInterrupt
        return getattr(abort.__cause__, "exit_code", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        return FAILED
    except (DalsegnoError, BaseExceptionGroup) as error:
        return _report(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `dalsegno runs list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


def _report(error: BaseException) -> int:
    """Say the first of our own errors in one sentence; let foreign ones be seen whole."""
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        ours = cast("BaseExceptionGroup[BaseException]", first).subgroup(DalsegnoError)
        if ours is None:
            raise error
        first = ours.exceptions[0]
    click.echo(f"dalsegno: {first}", err=True)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
