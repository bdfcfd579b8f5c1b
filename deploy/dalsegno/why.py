"""Why a task went where it went, in plain words, from its events alone: events in, text out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from dalsegno.output import clean
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
        "ladder-climbed",
        "task-handed-off",
        "task-repeated",
        "repeat-ended",
        "child-started",
        "child-ended",
        "question-asked",
        "compensation-failed",
        "context-conflicted",
        "plan-proposed",
        "plan-accepted",
        "plan-rejected",
        "plan-finished",
        "wait-escalated",
    }
)
_NAMING: Final = {
    "run-reopened": "tasks",
    "run-rewound": "undone",
    "compensation-started": "tasks",
}
"""Facts of the run as a whole that name the tasks they are about, and where."""

_LEFT_OUT: Final = "left out: "
_LEFT_OUT_ONE: Final = re.compile(r"(?P<agent>[a-z0-9][a-z0-9_-]*) \((?P<why>[^()]*)\)")


def chosen_of(entries: Sequence[HistoryEntry], task_id: str) -> list[HistoryEntry]:
    """What was decided about one task, oldest first."""
    return [entry for entry in entries if _is_about(entry, task_id)]


def why_lines(entries: Sequence[HistoryEntry]) -> Iterator[str]:
    """One line for each decision; under an assignment, all that it was made of."""
    for entry in entries:
        event = entry.event
        if not entry.kind.startswith("task-assigned") or event is None:
            yield f"{entry.version:>4}  {entry.sentence}"
            continue
        yield f"{entry.version:>4}  {_without_left_out(entry.sentence)}"
        for line in _assignment(event):
            yield f"      {line}"


def _is_about(entry: HistoryEntry, task_id: str) -> bool:
    kind = entry.kind.partition(".")[0]
    if kind in _NAMING:
        return task_id in cast("list[str]", (entry.event or {}).get(_NAMING[kind]) or [])
    return entry.task_id == task_id and kind in _ABOUT


def _assignment(event: Mapping[str, Any]) -> Iterator[str]:
    """The candidates with their scores, who was left out and why, what it took and read."""
    for candidate in cast("list[dict[str, Any]]", event.get("candidates") or []):
        yield _candidate(candidate, is_chosen=candidate["agent"] == event.get("agent"))
        parts = cast("dict[str, float] | None", candidate.get("parts"))
        if parts:
            yield f"  made of: {', '.join(f'{name} {part:.2f}' for name, part in parts.items())}"
    reason = str(event.get("reason", ""))
    for found in _LEFT_OUT_ONE.finditer(reason.partition(_LEFT_OUT)[2]):
        yield f"left out: {found['agent']}, {clean(found['why'])}"
    permits = cast("list[dict[str, Any]]", event.get("permits") or [])
    if permits:
        taken = ", ".join(f"{one.get('amount', 1.0):g} of {one['limit']}" for one in permits)
        yield f"takes until it is over: {clean(taken)}"
    read = cast("dict[str, int] | None", event.get("context_read"))
    if read:
        keys = ", ".join(f"{key} (version {version})" for key, version in read.items())
        yield f"its input was made from the shared context: {clean(keys)}"


def _candidate(candidate: Mapping[str, Any], *, is_chosen: bool) -> str:
    open_attempts = int(candidate.get("open_attempts", 0))
    busy = {0: "nothing else to do", 1: "1 other attempt open"}.get(
        open_attempts, f"{open_attempts} other attempts open"
    )
    alive = "" if candidate.get("live", True) else ", no replica alive"
    mark = "chosen" if is_chosen else "passed"
    return f"{mark}: {candidate['agent']}, score {candidate['score']:.2f}, {busy}{alive}"


def _without_left_out(sentence: str) -> str:
    """The sentence without those who were left out: they have lines of their own."""
    before, found, _ = sentence.partition(f"; {_LEFT_OUT}")
    if not found:
        return sentence
    still_open = ")" * (before.count("(") - before.count(")"))
    return f"{before}{still_open}."
