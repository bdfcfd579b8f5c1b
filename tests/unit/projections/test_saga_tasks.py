"""How the rows of tasks tell of the whole saga."""

from unit.projections.story import (
    OTHER,
    WHY,
    abandoned,
    asked,
    assigned,
    at,
    child_ended,
    child_started,
    completed,
    ending,
    failed,
    handed_off,
    history,
    iso,
    proposed,
    rejected,
    run_failed,
    started,
)

from dalsegno_bus.messages import Usage
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.table import fold
from dalsegno_projections.views.tasks import TASKS, TaskRow, TasksView

HEDGED = (started(), assigned("a"), assigned("a", 2, "bob", hedges=1))


def tasks_after(*events: e.Event) -> dict[str, TaskRow]:
    found = fold(TasksView(), history(*events))
    return {row.task_id: row for row in found.tables[TASKS.name].values()}


def test_side_tasks_say_whose_they_are() -> None:
    tasks = tasks_after(
        started(),
        e.TasksExpanded(task_id="a", count=1),
        assigned("a-0"),
        asked("a-0"),
        e.WaitEscalated(task_id="ok", level=0, escalation_id="ok-escalation-0"),
        assigned("a-0-undo"),
        assigned("b-undo"),
    )
    told = {name: (row.role, row.parent, row.step, row.index) for name, row in tasks.items()}
    assert told == {
        "a": ("step", None, "a", None),
        "a-0": ("item", "a", "a", 0),
        "a-0-ask-q1": ("question", "a-0", "a", None),
        "ok-escalation-0": ("escalation", "ok", "ok", None),
        "a-0-undo": ("undo", "a-0", "a", None),
        "b-undo": ("undo", "b", "b", None),
    }
    assert (tasks["a-0-ask-q1"].status, tasks["a-0-ask-q1"].capability) == ("ready", "legal")


def test_a_question_named_like_an_undoing_is_a_question() -> None:
    tasks = tasks_after(started(), assigned("a"), asked("a", "undo"), asked("a-ask-undo", "7"))
    assert (tasks["a-ask-undo"].role, tasks["a-ask-undo"].parent) == ("question", "a")
    assert (tasks["a-ask-undo-ask-7"].role, tasks["a-ask-undo-ask-7"].parent) == (
        "question",
        "a-ask-undo",
    )


def test_a_hedged_task_has_two_attempts_and_the_first_report_wins() -> None:
    row = tasks_after(*HEDGED)["a"]
    assert (row.attempt, row.agent, row.beside, row.beside_agent) == (2, "bob", 1, "ann")
    row = tasks_after(*HEDGED, completed("a", abandoned=abandoned("a", attempt=2)))["a"]
    assert (row.status, row.agent, row.beside, row.beside_agent) == ("completed", "ann", None, None)


def test_a_hedged_task_goes_on_with_the_attempt_that_is_left() -> None:
    row = tasks_after(*HEDGED, failed("a", 2, "bob"))["a"]
    assert (row.status, row.agent, row.beside, row.failures) == ("assigned", "ann", None, 1)
    row = tasks_after(*HEDGED, failed("a", 1, "ann"))["a"]
    assert (row.status, row.agent, row.beside) == ("assigned", "bob", None)
    away = e.TaskRerouted(task_id="a", attempt=2, agent="bob", reason="gone")
    assert tasks_after(*HEDGED, away)["a"].agent == "ann"
    row = tasks_after(*HEDGED, failed("a", 1), failed("a", 2, "bob"))["a"]
    assert (row.status, row.failures) == ("retrying", 2)


def test_a_hedged_task_that_was_handed_on_is_ready_for_others() -> None:
    row = tasks_after(*HEDGED, handed_off("a", "tax", abandoned=abandoned("a", attempt=2)))["a"]
    assert (row.status, row.capability, row.beside) == ("ready", "tax", None)


def test_a_handoff_says_what_is_asked_for_now() -> None:
    usage = Usage(usd=0.5, tokens=1)
    row = tasks_after(started(), assigned("a"), handed_off("a", "tax", usage=usage))["a"]
    assert (row.status, row.capability, row.usd, row.work_seconds) == ("ready", "tax", 0.5, 0.5)


def test_a_climbed_ladder_says_what_is_asked_for_and_when() -> None:
    failed_twice = (started(), assigned("a"), failed("a"))
    climbed = e.LadderClimbed(task_id="a", rung=0, capability="also", reason="")
    row = tasks_after(*failed_twice, climbed)["a"]
    assert (row.status, row.capability, row.retry_at) == ("ready", "also", None)
    later = e.LadderClimbed(task_id="a", rung=1, capability="do", at=at(9), reason="")
    row = tasks_after(*failed_twice, later)["a"]
    assert (row.status, row.retry_at) == ("retrying", iso(9))


def test_progress_is_kept_for_the_next_attempt() -> None:
    told = e.AttemptProgressed(task_id="a", attempt=1, agent="ann", progress={"fraction": 0.5})
    row = tasks_after(started(), assigned("a"), told, failed("a"), assigned("a", 2))["a"]
    assert (row.status, row.progress) == ("assigned", '{"fraction":0.5}')


def test_a_repeat_has_iterations_and_ends_when_it_says_so() -> None:
    again = (
        started(),
        e.TaskRepeated(task_id="a", iteration=0),
        assigned("a-0"),
        completed("a-0"),
        e.TaskRepeated(task_id="a", iteration=1, at=at(60)),
    )
    tasks = tasks_after(*again)
    assert (tasks["a"].status, tasks["a"].items, tasks["a"].items_over) == ("repeating", 2, 1)
    assert (tasks["a-1"].status, tasks["a-1"].role, tasks["a-1"].index) == (
        "retrying",
        "iteration",
        1,
    )
    assert (tasks["a-0"].parent, tasks["a-0"].step) == ("a", "a")
    over = (*again, assigned("a-1"), completed("a-1"))
    assert tasks_after(*over)["a"].status == "repeating"
    row = tasks_after(*over, e.RepeatEnded(task_id="a", iterations=2))["a"]
    assert (row.status, row.items_over, row.completed_at) == ("completed", 2, iso(7))


def test_a_repeat_fails_with_its_iteration_and_goes_on_when_that_is_tried_again() -> None:
    broken = (
        started(),
        e.TaskRepeated(task_id="a", iteration=0),
        assigned("a-0"),
        failed("a-0", final=True),
        run_failed("a"),
    )
    row = tasks_after(*broken)["a"]
    assert (row.status, row.error_code, row.completed_at) == ("failed", "books.closed", iso(3))
    row = tasks_after(*broken, e.RunReopened(tasks=("a-0",)))["a"]
    assert (row.status, row.items_over, row.completed_at) == ("repeating", 0, None)


def test_a_sub_workflow_is_linked_to_its_run() -> None:
    row = tasks_after(started(), child_started("pay", run=OTHER))["pay"]
    assert (row.status, row.attempt, row.child_run) == ("delegated", 1, str(OTHER))
    usage = Usage(usd=2.0, tokens=3)
    over = child_ended("pay", run=OTHER, output=7, usage=usage)
    row = tasks_after(started(), child_started("pay", run=OTHER), over)["pay"]
    assert (row.status, row.output, row.usd, row.completed_at) == ("completed", "7", 2.0, iso(2))


def test_a_sub_workflow_that_failed_is_tried_again_or_has_failed() -> None:
    begun = (started(), child_started("pay"))
    row = tasks_after(*begun, child_ended("pay", status="failed", error=WHY, final=False))["pay"]
    assert (row.status, row.failures, row.error_code) == ("retrying", 1, "books.closed")
    row = tasks_after(*begun, child_ended("pay", status="rejected"))["pay"]
    assert (row.status, row.error_code) == ("failed", "run.rejected")


def test_a_dynamic_task_names_what_it_added() -> None:
    begun = (started(), assigned("p"), proposed("p", "x", "y"))
    row = tasks_after(*begun)["p"]
    assert (row.status, row.planned, row.replica) == ("proposed", '["x","y"]', "r1")
    accepted = e.PlanAccepted(task_id="p", plan_version=2)
    assert tasks_after(*begun, accepted)["p"].status == "planned"
    assert tasks_after(*begun, accepted, e.PlanFinished(task_id="p"))["p"].status == "completed"
    row = tasks_after(*begun, rejected("p"))["p"]
    assert (row.status, row.planned, row.failures) == ("retrying", None, 1)
    assert tasks_after(*begun, rejected("p", final=True))["p"].status == "failed"


def test_a_task_that_the_run_went_back_before_is_undone_and_may_begin_again() -> None:
    begun = (
        started(),
        e.TasksExpanded(task_id="a", count=2),
        assigned("a-0"),
        completed("a-0", 1, usage=Usage(usd=1.0)),
        assigned("a-1"),
        e.RunRewound(task_id="a", undone=("a", "a-0", "a-1"), abandoned=abandoned("a-1")),
    )
    tasks = tasks_after(*begun)
    assert {row.status for row in tasks.values()} == {"undone"}
    assert (tasks["a"].items, tasks["a"].items_over) == (0, 0)
    assert (tasks["a-0"].output, tasks["a-0"].usd, tasks["a-0"].completed_at) == (None, 1.0, None)
    again = (e.TasksExpanded(task_id="a", count=1), assigned("a-0", 2), completed("a-0", attempt=2))
    tasks = tasks_after(*begun, *again)
    assert (tasks["a"].status, tasks["a-0"].status, tasks["a-1"].status) == (
        "completed",
        "completed",
        "undone",
    )
    assert tasks["a-0"].attempt == 2


def test_an_attempt_that_was_told_to_stop_is_abandoned_unless_it_reports() -> None:
    begun = (started(), assigned("a"), assigned("b"), ending("c", stopping=abandoned("a", "b")))
    tasks = tasks_after(*begun, completed("b"))
    assert (tasks["a"].status, tasks["b"].status) == ("abandoned", "completed")


def test_of_a_hedged_task_that_was_told_to_stop_the_other_attempt_may_still_report() -> None:
    told = ending("c", stopping=(*abandoned("a"), *abandoned("a", attempt=2, agent="bob")))
    row = tasks_after(*HEDGED, told, failed("a"))["a"]
    assert (row.status, row.agent, row.beside) == ("abandoned", "bob", None)
    row = tasks_after(*HEDGED, told, failed("a"), completed("a", attempt=2, agent="bob"))["a"]
    assert (row.status, row.agent) == ("completed", "bob")
