"""One service each, in this very process: what a container runs, and what a second terminal may."""

from pathlib import Path

import click

from dalsegno.layout import speak_to
from dalsegno.options import folder_option


@click.command()
@click.option("--name", metavar="NAME", help="Tells it from other orchestrators.")
@folder_option
@click.pass_context
def orchestrator(context: click.Context, name: str | None, folder: Path | None) -> None:
    r"""Run one orchestrator until SIGTERM or Ctrl-C.

    With DALSEGNO_HEALTH_PORT=8080 it answers GET /healthz (it lives), /readyz (503
    and what is missing, until it can work) and /countz there. Logs go to stderr:
    text on a terminal, else JSON (DALSEGNO_LOG_FORMAT, DALSEGNO_LOG_LEVEL).

    \b
    Examples:
      dalsegno orchestrator
      dalsegno orchestrator --name first
      DALSEGNO_STORE_URL=postgresql://me:word@db/dalsegno dalsegno orchestrator
    """
    _join(folder)
    from dalsegno_orchestrator.__main__ import main

    context.exit(main([] if name is None else ["--name", name]))


@click.command()
@folder_option
@click.pass_context
def projections(context: click.Context, folder: Path | None) -> None:
    r"""Run one projections service until SIGTERM or Ctrl-C.

    With DALSEGNO_HEALTH_PORT=8080 it answers GET /healthz (it lives), /readyz (503
    and what is missing, until it can work) and /countz there. Logs go to stderr:
    text on a terminal, else JSON (DALSEGNO_LOG_FORMAT, DALSEGNO_LOG_LEVEL).

    \b
    Examples:
      dalsegno projections
      dalsegno projections --folder .dalsegno/mine
    """
    _join(folder)
    from dalsegno_projections.__main__ import main

    context.exit(main())


@click.command()
@click.argument("target", metavar="MODULE:AGENT")
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Attempts at a time.")
@folder_option
@click.pass_context
def agent(
    context: click.Context, target: str, concurrency: int | None, folder: Path | None
) -> None:
    r"""Run one replica of an agent until SIGTERM or Ctrl-C.

    With DALSEGNO_HEALTH_PORT=8080 it answers GET /healthz (it lives), /readyz (503
    and what is missing, until it can work) and /countz there. Logs go to stderr:
    text on a terminal, else JSON (DALSEGNO_LOG_FORMAT, DALSEGNO_LOG_LEVEL).

    \b
    Examples:
      dalsegno agent dalsegno_agents.gallery.finance.gather:agent
      dalsegno agent my_agents:analyst --concurrency 4
    """
    _join(folder)
    from dalsegno_agents.__main__ import main

    more = () if concurrency is None else ("--concurrency", str(concurrency))
    context.exit(main([target, *more]))


def _join(folder: Path | None) -> None:
    if folder is not None:
        speak_to(folder)
