"""`dalsegno demo`: the financial report of a demo company, on real processes."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dalsegno import interrupts
from dalsegno.demo.company import DEMO_SEED
from dalsegno.demo.ending import as_json as report_as_json
from dalsegno.demo.ending import figures_table, findings_table
from dalsegno.demo.folders import clear_away, keep, new_folder
from dalsegno.demo.runner import Finished, run_demo
from dalsegno.options import json_option
from dalsegno.output import console, print_json, say, seconds, typed
from dalsegno.shown import short_ids


@click.command()
@click.option("--manual", is_flag=True, help="Leave the approval to you: says what to type.")
@click.option("--keep", "is_kept", is_flag=True, help="Have later demos leave its folder alone.")
@click.option("--seed", type=int, default=DEMO_SEED, show_default=True, help="Of the books.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where its files go [.dalsegno/demo-…].",
)
@json_option
@click.pass_context
def demo(
    context: click.Context,
    manual: bool,
    is_kept: bool,
    seed: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""Make the financial report of a demo company, by five agents in processes of their own.

    Starts NATS, an orchestrator, a projections service and the agents, makes the company's books,
    runs the workflow financial-report on them, and stops all it started. The report stays in
    .dalsegno/reports; the rest of its files stays until the next demo.

    \b
    Examples:
      dalsegno demo
      dalsegno demo --manual
      dalsegno demo --seed 11 --keep --json
    """
    clear_away()
    place = folder or new_folder()
    finished = interrupts.run(run_demo(place, seed=seed, manual=manual, tell=say))
    if is_kept:
        keep(place)
    if as_json:
        print_json(_as_json(finished, place))
    else:
        _show(finished, place, console())
    context.exit(0 if finished.run.status == "completed" else 1)


def _show(finished: Finished, place: Path, shown: Console) -> None:
    run = finished.run
    run_id = str(run.run_id)
    shown.print()
    if finished.report is None:
        why = f": {run.error.message}" if run.error else ""
        shown.print(f"The run {run.status}{why}", style="bold red")
    else:
        shown.print(finished.report.headline, style="bold")
        shown.print()
        shown.print(figures_table(finished.report.figures, finished.currency))
        shown.print()
        shown.print(findings_table(finished.report.findings))
        shown.print()
        shown.print("The report:", style="bold")
        for path in finished.files:
            shown.print(f"  {path}", soft_wrap=True)
    shown.print()
    shown.print(f"Run {run_id}: {run.version} events recorded, {seconds(finished.seconds)}.")
    shown.print("Look further:", style="bold")
    short = short_ids([run_id])[run_id]
    for command in (f"runs show {short}", f"history {short}", f"trace {short}"):
        shown.print(f"  {typed(command, place)}", soft_wrap=True)
    shown.print("Start the same stack again, for runs of your own:", style="bold")
    shown.print(f"  {typed('up', place)}", soft_wrap=True)


def _as_json(finished: Finished, place: Path) -> dict[str, Any]:
    run = finished.run
    report = finished.report
    return {
        "run_id": str(run.run_id),
        "status": run.status,
        "error": run.error.model_dump(mode="json") if run.error else None,
        "events": run.version,
        "seconds": round(finished.seconds, 3),
        "rows": finished.rows,
        "folder": str(place),
        "report": report_as_json(report, finished.files) if report is not None else None,
    }
