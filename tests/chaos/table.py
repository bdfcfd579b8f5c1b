"""The table at the end, for people, and the same as JSON. Decides nothing."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from chaos.checker import Verdict
from dalsegno.processes import STOP_SECONDS_MAX

SHOWN_MAX: Final = 10
"""So many sentences are shown of each fault; the rest is counted."""


def summary(
    verdict: Verdict,
    *,
    done: Mapping[str, int],
    failed: Mapping[str, int],
    killed: Mapping[str, int],
) -> dict[str, Any]:
    """Everything that was found, as plain data."""
    return {
        "clean": verdict.is_clean,
        "faults": dict(sorted(done.items())),
        "faults_that_failed": dict(sorted(failed.items())),
        "killed_as_they_did_not_stop": dict(sorted(killed.items())),
        "accepted": verdict.accepted,
        "ends": dict(verdict.ends),
        "runs": verdict.runs,
        "events": verdict.events,
        "works": verdict.works,
        "works_begun_soon_after_commit": verdict.redone_soon,
        "longest_pause_seconds": verdict.longest_pause.total_seconds(),
        "longest_pause_at": str(verdict.longest_pause_at),
        "audit_chain_intact": not verdict.broken,
        "found": verdict.faults,
    }


def show(told: Mapping[str, Any], console: Console) -> None:
    """Print the table, and a sentence for each thing that is wrong."""
    table = Table(title="chaos", show_header=False)
    for kind, count in told["faults"].items():
        table.add_row(f"fault: {kind}", str(count))
    for kind, count in told["faults_that_failed"].items():
        table.add_row(f"fault that could not be done: {kind}", str(count))
    for name, count in told["killed_as_they_did_not_stop"].items():
        table.add_row(f"told to stop, and killed after {STOP_SECONDS_MAX:g} s: {name}", str(count))
    table.add_section()
    table.add_row("runs accepted", str(told["accepted"]))
    for status, count in told["ends"].items():
        table.add_row(f"  {status}", str(count))
    table.add_row("runs, sub-workflows included", str(told["runs"]))
    table.add_row("events", str(told["events"]))
    table.add_row("works that agents began", str(told["works"]))
    table.add_row("  soon after their report's commit", str(told["works_begun_soon_after_commit"]))
    table.add_row(
        "longest pause without an event",
        f"{told['longest_pause_seconds']:.1f} s at {told['longest_pause_at']}",
    )
    table.add_row("audit chain", "intact" if told["audit_chain_intact"] else "BROKEN")
    table.add_section()
    for name, sentences in told["found"].items():
        table.add_row(name, str(len(sentences)))
    table.add_row("verdict", "clean" if told["clean"] else "NOT CLEAN")
    console.print(table)
    for name, sentences in told["found"].items():
        for sentence in sentences[:SHOWN_MAX]:
            console.print(f"{name}: {sentence}", soft_wrap=True, markup=False)
        if len(sentences) > SHOWN_MAX:
            console.print(f"{name}: and {len(sentences) - SHOWN_MAX} more")
