"""What a person sees of a run and its tasks."""

from typing import Any

import pytest
from rich.console import Console, RenderableType

from dalsegno.shown import (
    hanging,
    history_table,
    nested,
    remark,
    repair_hint,
    run_lines,
    runs_table,
    tasks_table,
)
from dalsegno_projections.questions import (
    ChildSummary,
    HistoryEntry,
    RunDetail,
    RunSummary,
    TaskSummary,
)

RUN = "01a20746-af62-7c76-934d-a7c115480a34"
PARENT = "01a20746-0000-7c76-934d-a7c115480a34"
CHILD = "01a20746-1111-7c76-934d-a7c115480a34"
AT = "2026-01-01T12:00:00+00:00"
LATER = "2026-01-01T13:00:00+00:00"


def task(task_id: str, status: str = "completed", **fields: Any) -> TaskSummary:
    nothing: dict[str, Any] = {
        name: 0 if repr(field.annotation) in {repr(int), repr(float)} else None
        for name, field in TaskSummary.model_fields.items()
        if field.is_required()
    }
    given: dict[str, Any] = {
        "task_id": task_id,
        "step": task_id,
        "status": status,
        "candidates": [],
        "began_at": AT,
        "changed_at": AT,
        **fields,
    }
    return TaskSummary.model_validate({**nothing, **given})


def run(**fields: Any) -> RunSummary:
    nothing = {name: None for name, one in RunSummary.model_fields.items() if one.is_required()}
    given: dict[str, Any] = {
        "run_id": RUN,
        "workflow": "report",
        "workflow_version": 1,
        "status": "running",
        "started_at": AT,
        "changed_at": AT,
        "started_by": "client:ada",
        "version": 7,
        "tasks": {},
        "waiting_for": {},
        "labels": {},
        "usd": 0.0,
        "tokens": 0,
        **fields,
    }
    return RunSummary.model_validate({**nothing, **given})


def detail(summary: RunSummary, **fields: Any) -> RunDetail:
    return RunDetail(
        run=summary, input=None, input_bytes=0, output=None, output_bytes=0, tasks=[], more=False,
        **fields,
    )  # fmt: skip


def printed(*shown: RenderableType) -> list[str]:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        for one in shown:
            console.print(one)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_side_tasks_stand_below_what_they_belong_to() -> None:
    tasks = [
        task("gather"),
        task("gather-0", role="item", parent="gather", index=0),
        task("report"),
        task("gather-1", role="item", parent="gather", index=1),
        task("gather-0-ask-1a", role="question", parent="gather-0"),
        task("report-undo", role="undo", parent="report"),
    ]
    assert [(one.task_id, depth) for one, depth in nested(tasks)] == [
        ("gather", 0),
        ("gather-0", 1),
        ("gather-0-ask-1a", 2),
        ("gather-1", 1),
        ("report", 0),
        ("report-undo", 1),
    ]
    names = [line.split("  ")[0] for line in printed(tasks_table(tasks))]
    assert names[1] == "gather"
    lines = printed(tasks_table(tasks))
    assert lines[3].startswith("    gather-0-ask-1a")
    assert "answers gather-0" in lines[3]
    assert "undoes report" in lines[6]


def test_a_side_task_whose_parent_is_on_another_page_stands_by_itself() -> None:
    tasks = [task("gather-7", role="item", parent="gather", index=7), task("report")]
    assert [(one.task_id, depth) for one, depth in nested(tasks)] == [
        ("gather-7", 0),
        ("report", 0),
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "parked", "parked_reason": "quota:tpm is used up"}, "quota:tpm is used up"),
        (
            {"status": "waiting", "signal": "approval", "until": LATER},
            "waits for the signal 'approval' until 2026-01-01 13:00:00",
        ),
        ({"status": "sleeping", "until": LATER}, "sleeps until 2026-01-01 13:00:00"),
        (
            {"status": "retrying", "retry_at": LATER, "error_message": "too busy"},
            "again at 2026-01-01 13:00:00 after: too busy",
        ),
        ({"status": "delegated", "child_run": CHILD}, f"run {CHILD}"),
        ({"status": "planned", "planned": ["a", "b"]}, "planned a, b"),
        ({"status": "repeating", "items": 3, "items_over": 2}, "2 of 3 times"),
        ({"status": "expanded", "items": 3, "items_over": 2}, "2 of 3 items"),
        (
            {"status": "assigned", "attempt": 2, "beside": 1, "beside_agent": "slow"},
            "attempt 1 goes on beside it, at slow",
        ),
        ({"role": "escalation", "parent": "approve"}, "tells that approve waits"),
        ({"error_message": "too busy"}, "too busy (an earlier attempt)"),
    ],
)
def test_what_is_special_about_a_task_is_said(fields: dict[str, Any], words: str) -> None:
    assert remark(task("a", **fields)) == words


def test_a_run_tells_whose_part_it_is_its_plan_and_its_children() -> None:
    child = ChildSummary(
        run_id=CHILD, workflow="payment", status="failed", parent_task="pay", started_at=AT,
        ended_at=LATER,
    )  # fmt: skip
    summary = run(parent_run=PARENT, parent_task="settle", plan_version=3)
    lines = printed(*run_lines(detail(summary, children=[child], children_total=3)))
    assert "workflow report (version 1, plan version 3)" in lines
    assert f"part of  task settle of run {PARENT}" in lines
    assert f"child    {CHILD} payment failed, for pay" in lines
    assert "         and 2 more" in lines


def test_a_run_that_a_schedule_started_names_it() -> None:
    lines = printed(*run_lines(detail(run(parent_run=PARENT, parent_task=""))))
    assert f"part of  a tick of the schedule {PARENT}" in lines


def test_a_run_tells_what_it_waits_for() -> None:
    waits = {"limit quota:tpm": 3, "run payment": 1}
    lines = printed(*run_lines(detail(run(waiting_for=waits, budget="2.50 of 2.00 USD spent"))))
    assert "waits    for limit quota:tpm (3), run payment (1)" in lines
    assert "budget   2.50 of 2.00 USD spent" in lines
    lines = printed(*run_lines(detail(run(status="paused", paused_reason="a look first"))))
    assert "waits    to be resumed: a look first" in lines


def test_what_could_not_be_undone_is_listed_with_the_command_that_tries_again() -> None:
    summary = run(
        status="compensation_failed", uncompensated=["book", "pay"], uncompensated_total=5
    )
    assert "stands   not undone: book, pay and 3 more" in printed(*run_lines(detail(summary)))
    hint = repair_hint(summary, None)
    assert hint is not None
    assert hint.endswith(f"dalsegno runs retry {RUN}")
    one = run(status="compensation_failed", uncompensated=["book"], uncompensated_total=1)
    hint = repair_hint(one, None)
    assert hint is not None
    assert hint.endswith(f"runs retry {RUN} --task book")
    assert repair_hint(run(), None) is None


def test_a_list_says_of_a_run_what_matters_most() -> None:
    lines = printed(
        runs_table(
            [
                run(budget="2.50 of 2.00 USD spent", waiting_for={"signal budget": 1}),
                run(error_message="boom", uncompensated=["book"], uncompensated_total=1),
            ]
        )
    )
    assert "2.50 of 2.00" in lines[1]
    assert "not undone" in lines[2]


def event(version: int, seconds: int, by: str, cause: str, sentence: str) -> HistoryEntry:
    return HistoryEntry(
        version=version, at=f"2026-01-01T12:00:{seconds:02}+00:00", by=by, cause=cause,
        kind="run-paused.v1", task_id=None, digest="", sentence=sentence, event=None,
    )  # fmt: skip


def test_a_history_names_once_who_asked_for_something() -> None:
    lines = printed(
        history_table(
            [
                event(3, 5, "client:ada", "m1", "The run is being cancelled."),
                event(4, 5, "client:ada", "m1", "The run was cancelled."),
                event(5, 6, "agent:quick", "m2", "quick completed it."),
            ],
            AT,
        )
    )
    assert lines[1].endswith("The run is being cancelled. [ada]")
    assert [line.split()[-1] for line in lines[2:4]] == ["cancelled.", "it."]
    assert lines[1].split()[:2] == ["3", "5.000"]


def test_a_history_without_its_beginning_counts_from_its_first_event() -> None:
    assert printed(history_table([event(3, 5, "x", "m", "It was.")]))[1].split()[1] == "0.000"
    assert len(printed(history_table([]))) == 1


def test_items_that_failed_are_counted_though_the_run_goes_on() -> None:
    tasks = [
        task("each", items=2, items_over=2),
        task("each-0", "failed", role="item", parent="each", index=0),
        task("each-1", role="item", parent="each", index=1),
    ]
    assert "2 of 2 items; 1 failed" in printed(tasks_table(tasks))[1]


def test_a_repeat_that_failed_says_why_and_not_how_often() -> None:
    failed = task("a", "failed", items=3, items_over=3, error_message="it did not hold")
    assert remark(failed) == "it did not hold"


def test_nothing_of_a_run_that_has_ended_waits() -> None:
    waiting = task("ask", "waiting", signal="go")
    assert remark(waiting, is_over=True) == "the run ended before it was done"
    assert "waits for the signal" in printed(tasks_table([waiting]))[1]
    assert "the run ended" in printed(tasks_table([waiting], is_over=True))[1]


def test_a_long_line_about_a_run_goes_on_below_what_it_says() -> None:
    words = "a very long reason that does not fit into one line of a terminal " * 2
    lines = printed(hanging(run_lines(detail(run(error_message=words)))))
    assert lines[-2].startswith("error    a very")
    assert lines[-1].startswith(" " * 9 + lines[-1].strip()[0])


def test_a_list_says_why_a_run_stands_still() -> None:
    paused = run(status="paused", paused_reason="a look first", waiting_for={"timer": 1})
    lines = printed(runs_table([paused, run(status="completed", budget="used up", ended_at=LATER)]))
    assert "paused: a" in lines[1]
    assert "used up" not in lines[2]
