"""Why a task went where it went, in plain words, from its events alone: events in, text out."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from dalsegno_projections.questions import HistoryEntry

_ABOUT: Final = frozenset(
    {
        "task-assigned",
        "task-parked",
        "task-failed",
        "task-timed-out",
        "retry-scheduled",
        "task-rerouted",
        "task-skipped",
        "task-completed",
    }
)


def chosen_of(entries: Sequence[HistoryEntry], task_id: str) -> list[HistoryEntry]:
    """What was decided about one task, oldest first."""
    return [
        entry
        for entry in entries
        if entry.task_id == task_id and entry.kind.partition(".")[0] in _ABOUT
    ]


def why_lines(entries: Sequence[HistoryEntry]) -> Iterator[str]:
    """One line for each decision; under an assignment, every candidate with its score."""
    for entry in entries:
        yield f"{entry.version:>4}  {entry.sentence}"
        if entry.kind.startswith("task-assigned") and entry.event is not None:
            candidates = cast("list[dict[str, Any]]", entry.event.get("candidates") or [])
            for rank, candidate in enumerate(candidates):
                yield f"      {_candidate(candidate, is_chosen=rank == 0)}"


def _candidate(candidate: dict[str, Any], *, is_chosen: bool) -> str:
    open_attempts = int(candidate.get("open_attempts", 0))
    busy = {0: "nothing else to do", 1: "1 other attempt open"}.get(
        open_attempts, f"{open_attempts} other attempts open"
    )
    alive = "" if candidate.get("live", True) else ", no replica alive"
    mark = "chosen" if is_chosen else "passed"
    return f"{mark}: {candidate['agent']}, score {candidate['score']:.2f}, {busy}{alive}"
