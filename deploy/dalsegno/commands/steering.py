"""`dalsegno runs pause|resume|cancel|retry`: what one tells one run, or a selection of runs."""

import click

from dalsegno.options import reason_option
from dalsegno.selection import Asked, over_runs
from dalsegno.steered import steer
from dalsegno_bus.messages import Accepted, CancelRun, PauseRun, ResumeRun, RetryRun
from dalsegno_bus.watching import FINAL_STATUSES


@click.command()
@reason_option
@over_runs
def cancel(asked: Asked, reason: str) -> int:
    r"""End runs early; their running attempts are told, and what they did is undone.

    A selection without --status means runs that have not ended.

    \b
    Examples:
      dalsegno runs cancel 0193c2f1-7a3b --reason "wrong quarter"
      dalsegno runs cancel --workflow report --label team=blue --yes
    """

    def told(accepted: Accepted) -> str:
        over = accepted.status in FINAL_STATUSES - {"cancelled"}
        return "had ended before" if over else "is told to end"

    return steer(
        asked,
        verb="cancel",
        statuses=("running", "paused"),
        request_of=lambda run_id: CancelRun(
            run_id=run_id, reason=reason, requested_by=asked.requested_by
        ),
        told=told,
    )


@click.command()
@reason_option
@over_runs
def pause(asked: Asked, reason: str) -> int:
    r"""Have runs begin nothing more; what is under way goes on, timers stand still.

    Runs of sub-workflows are under way as well: pause them by their own ids.

    A selection without --status means runs that are running.

    \b
    Examples:
      dalsegno runs pause 0193c2f1-7a3b --reason "the books are being corrected"
      dalsegno runs pause --workflow report --yes --json
    """
    return steer(
        asked,
        verb="pause",
        statuses=("running",),
        request_of=lambda run_id: PauseRun(
            run_id=run_id, reason=reason, requested_by=asked.requested_by
        ),
        told=lambda _: "begins nothing more",
    )


@click.command()
@over_runs
def resume(asked: Asked) -> int:
    r"""Have paused runs go on.

    \b
    Examples:
      dalsegno runs resume 0193c2f1-7a3b
      dalsegno runs resume --workflow report --as ada
    """
    return steer(
        asked,
        verb="resume",
        statuses=("paused",),
        request_of=lambda run_id: ResumeRun(run_id=run_id, requested_by=asked.requested_by),
        told=lambda _: "goes on",
    )


@click.command()
@click.option("--task", "tasks", multiple=True, metavar="TASK", help="Only this; may be repeated.")
@reason_option
@over_runs
def retry(asked: Asked, tasks: tuple[str, ...], reason: str) -> int:
    r"""Have what failed tried again: tasks, or what could not be compensated.

    A selection without --status means runs that failed, or could not be undone.

    \b
    Examples:
      dalsegno runs retry 0193c2f1-7a3b --reason "the server is back"
      dalsegno runs retry 0193c2f1-7a3b --task analyze
      dalsegno runs retry --workflow report --status failed --yes
    """
    return steer(
        asked,
        verb="retry",
        statuses=("failed", "compensation_failed"),
        request_of=lambda run_id: RetryRun(
            run_id=run_id, tasks=tasks, reason=reason, requested_by=asked.requested_by
        ),
        told=lambda _: "tries again what failed",
    )
