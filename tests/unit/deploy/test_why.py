"""Why a task went where it went, in plain words."""

from typing import Any

from dalsegno.why import chosen_of, why_lines
from dalsegno_projections.questions import HistoryEntry


def entry(version: int, kind: str, sentence: str = "", **event: Any) -> HistoryEntry:
    return HistoryEntry(
        version=version,
        at="2026-01-01T00:00:00+00:00",
        by="orchestrator",
        cause="",
        kind=f"{kind}.v1",
        task_id=event.get("task_id"),
        digest="",
        sentence=sentence,
        event=event,
    )


REASON = (
    "best score of 2; success tipped it (0.90 against 0.60 of slow); "
    "left out: broken (circuit open), tired (queue full, 3 open) and 2 more"
)
ASSIGNED = entry(
    3,
    "task-assigned",
    f"Attempt 1 of a went to quick: {REASON}.",
    task_id="a",
    attempt=1,
    agent="quick",
    reason=REASON,
    candidates=[
        {
            "agent": "quick", "score": 0.81, "open_attempts": 1, "live": True,
            "parts": {"success": 0.9, "idle": 0.5},
        },
        {
            "agent": "slow", "score": 0.6, "open_attempts": 0, "live": False,
            "parts": {"success": 0.6, "idle": 1.0},
        },
    ],
    permits=[{"limit": "quota:tpm", "amount": 1200.0}],
    context_read={"rates": 3},
)  # fmt: skip


def test_an_assignment_names_scores_and_their_parts_and_who_was_left_out() -> None:
    assert list(why_lines([ASSIGNED])) == [
        "   3  Attempt 1 of a went to quick: best score of 2; "
        "success tipped it (0.90 against 0.60 of slow).",
        "      chosen: quick, score 0.81, 1 other attempt open",
        "        made of: success 0.90, idle 0.50",
        "      passed: slow, score 0.60, nothing else to do, no replica alive",
        "        made of: success 0.60, idle 1.00",
        "      left out: broken, circuit open",
        "      left out: tired, queue full, 3 open",
        "      takes until it is over: 1200 of quota:tpm",
        "      its input was made from the shared context: rates (version 3)",
    ]


def test_the_only_candidate_has_a_score_without_parts() -> None:
    alone = entry(
        3, "task-assigned", "It went to x: only candidate.", task_id="a", agent="x",
        reason="only candidate", candidates=[{"agent": "x", "score": 0.5, "parts": None}],
    )  # fmt: skip
    assert list(why_lines([alone])) == [
        "   3  It went to x: only candidate.",
        "      chosen: x, score 0.50, nothing else to do",
    ]


def test_what_was_decided_about_the_run_counts_where_it_names_the_task() -> None:
    entries = [
        entry(1, "run-started"),
        ASSIGNED,
        entry(4, "task-assigned", task_id="b"),
        entry(5, "ladder-climbed", task_id="a"),
        entry(6, "context-shared", task_id="a"),
        entry(7, "run-rewound", task_id="a", undone=["a", "b"]),
        entry(8, "run-rewound", task_id="b", undone=["b"]),
        entry(9, "run-reopened", tasks=["a"]),
    ]
    assert [one.version for one in chosen_of(entries, "a")] == [3, 5, 7, 9]


def test_a_bracket_is_closed_though_those_who_were_left_out_stood_in_it() -> None:
    reason = "hedges attempt 1; only candidate; left out: slow (works on it already)"
    hedge = entry(
        3, "task-assigned", f"It went to x beside attempt 1 ({reason}).", task_id="a", agent="x",
        reason=reason, candidates=[],
    )  # fmt: skip
    assert list(why_lines([hedge])) == [
        "   3  It went to x beside attempt 1 (hedges attempt 1; only candidate).",
        "      left out: slow, works on it already",
    ]
