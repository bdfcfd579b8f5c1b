"""Questions about the whole saga: selections, parents and children, schedules, limits."""

from typing import Any

import pytest
from integration.projections.desk import Desk
from unit.projections.story import (
    OTHER,
    RUN,
    assigned,
    at,
    chain,
    child_started,
    completed,
    ending,
    failed,
    not_compensated,
    proposed,
    run_failed,
    run_of,
    scheduled,
    started,
    told,
)

from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import LIMITS, RunId, schedule_id
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections import asking
from dalsegno_projections import questions as q

LACK = e.TaskParked(task_id="a", capability="do", reason="no room", waits_for="quota:x")


def child_of(parent: e.Parent) -> e.RunStarted:
    return started().model_copy(update={"parent": parent})


async def test_runs_are_selected_by_several_statuses_labels_and_parent(desk: Desk) -> None:
    ends: dict[str, tuple[e.Event, ...]] = {
        "done": (e.RunCompleted(),),
        "failed": (run_failed("a"),),
        "stands": (not_compensated("a"),),
        "on": (),
        "ending": (ending("a"),),
    }
    for name, events in ends.items():
        team = "eu" if name in {"failed", "on"} else "us"
        desk.record(*told(started(None, name=name, team=team), *events, stream=run_of(name)))

    async def named(**filters: Any) -> set[str]:
        listed = await desk.ask(asking.RUNS, q.AskRuns(**filters))
        assert listed.total == len(listed.runs)
        return {run.labels["name"] for run in listed.runs}

    assert await named(status=("failed", "compensation_failed")) == {"failed", "stands"}
    assert await named(status=("failed", "failing"), labels={"team": "us"}) == {"ending"}
    assert await named(status="failing") == {"ending"}
    assert await named(status=()) == set()
    assert await named(workflow="story", labels={"team": "eu"}) == {"failed", "on"}
    page = await desk.ask(
        asking.RUNS, q.AskRuns(status=("failed", "completed", "running"), limit=2, offset=2)
    )
    assert (len(page.runs), page.total, page.more) == (1, 3, False)


async def test_a_run_is_shown_with_its_children_and_they_name_it(desk: Desk) -> None:
    children = [run_of(f"child {number}") for number in range(3)]
    desk.record(*told(started(), *(child_started(f"pay{n}", run=child)
                                   for n, child in enumerate(children))))  # fmt: skip
    for number, child in enumerate(children):
        begun = child_of(e.Parent(run_id=RUN, task_id=f"pay{number}", attempt=1))
        desk.record(*chain([(begun, at(number))], stream=child))
    shown = await desk.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN)))
    assert [child.run_id for child in shown.children] == [str(child) for child in children]
    assert [child.parent_task for child in shown.children] == ["pay0", "pay1", "pay2"]
    assert shown.children_total == 3
    assert [task.child_run for task in shown.tasks] == [str(child) for child in children]
    assert shown.run.waiting_for == {"run payment": 3}
    for named in (str(RUN), RUN.hex[:8]):
        listed = await desk.ask(asking.RUNS, q.AskRuns(parent=named))
        assert {run.run_id for run in listed.runs} == {str(child) for child in children}
    shown = await desk.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(children[1])))
    assert (shown.run.parent_run, shown.run.parent_task) == (str(RUN), "pay1")
    with pytest.raises(UsageError, match="no run's id"):
        await desk.ask(asking.RUNS, q.AskRuns(parent="--------"))


async def test_of_very_many_children_the_first_are_shown_and_all_are_counted(plain: Desk) -> None:
    plain.record(*told(started()))
    for number in range(103):
        begun = child_of(e.Parent(run_id=RUN, task_id="pay", attempt=1))
        plain.record(*chain([(begun, at(number))], stream=run_of(f"child {number}")))
    shown = await plain.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN)))
    assert (len(shown.children), shown.children_total) == (100, 103)


async def test_what_a_person_has_to_look_at_is_shown(plain: Desk) -> None:
    exceeded = e.BudgetExceeded(
        limit="usd", allowed=2, action="stop", spent_usd=3, spent_tokens=0, spent_tasks=1,
        spent_seconds=1,
    )  # fmt: skip
    plain.record(*told(started(), assigned("a"), exceeded, ending("a"), not_compensated("a", "b")))
    shown = await plain.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN)))
    assert (shown.run.uncompensated, shown.run.uncompensated_total) == (["a", "b"], 2)
    assert shown.run.budget == "The run has used 3 USD of 2: it is stopped."
    assert (shown.run.plan_version, shown.run.status) == (1, "compensation_failed")
    answer = await plain.ask(asking.RUN, q.AskRun(run_id=str(RUN)))
    assert (answer.status, answer.error.code) == ("compensation_failed", "books.closed")


async def test_tasks_are_shown_with_what_they_are_and_added(plain: Desk) -> None:
    told_of = e.AttemptProgressed(task_id="a", attempt=1, agent="ann", progress={"fraction": 0.5})
    plain.record(
        *told(
            started(), assigned("a"), told_of, assigned("a", 2, "bob", hedges=1), assigned("p"),
            proposed("p", "x"), e.PlanAccepted(task_id="p", plan_version=2), assigned("a-undo"),
        )
    )  # fmt: skip
    shown = await plain.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN)))
    a, p, undo = shown.tasks
    assert (a.beside, a.beside_agent, a.progress) == (1, "ann", {"fraction": 0.5})
    assert (p.status, p.planned, shown.run.plan_version) == ("planned", ["x"], 2)
    assert (undo.role, undo.parent) == ("undo", "a")


async def test_schedules_are_listed_with_what_they_did(desk: Desk) -> None:
    stream = schedule_id("story")
    fired = e.TickFired(tick=at(60), run_id=OTHER)
    desk.record(*told(scheduled(), fired, stream=stream))
    desk.record(*told(child_of(e.Parent(run_id=RunId(stream))), stream=OTHER))
    listed = await desk.ask(asking.SCHEDULES, q.AskSchedules(workflow="story"))
    (schedule,) = listed.schedules
    assert (schedule.workflow, schedule.state, schedule.fired) == ("story", "active", 1)
    assert (await desk.ask(asking.SCHEDULES, q.AskSchedules(workflow="other"))).schedules == []
    runs = await desk.ask(asking.RUNS, q.AskRuns(parent=schedule.schedule_id))
    assert [(run.run_id, run.parent_task) for run in runs.runs] == [(str(OTHER), "")]


async def test_limits_are_listed_with_who_waits_for_them(desk: Desk) -> None:
    desk.record(
        *told(
            e.LimitSet(limit="quota:x", rate=5.0),
            e.LimitSet(limit="capability:do", concurrency=1.0),
            e.LimitRemoved(limit="capability:do"),
            stream=LIMITS,
        )
    )
    other = e.TaskParked(task_id="b", capability="do", reason="not set", waits_for="quota:y")
    desk.record(*told(started(), LACK, other))
    desk.record(*told(started(), LACK, run_failed("c"), stream=OTHER))
    desk.record(*told(started(), LACK, assigned("a"), completed("a"), stream=run_of("done")))
    listed = await desk.ask(asking.LIMITS, q.AskLimits())
    assert [(limit.limit, limit.rate) for limit in listed.limits] == [("quota:x", 5.0)]
    assert [(each.limit, each.tasks, each.runs_total) for each in listed.waiting] == [
        ("quota:x", 1, 1),
        ("quota:y", 1, 1),
    ]
    assert listed.waiting[0].runs[0].run_id == str(RUN)
    waiting = await desk.ask(asking.RUNS, q.AskRuns(waiting_for="limit quota:x"))
    assert [run.run_id for run in waiting.runs] == [str(RUN)]


async def test_a_view_of_the_whole_saga_is_rebuilt_to_the_same_rows(desk: Desk) -> None:
    over = (started(), assigned("a"), failed("a", final=True), ending("a"), not_compensated("a"))
    desk.record(*told(*over, e.RunReopened(tasks=("a",), undoing=True)))
    desk.record(*told(scheduled(), stream=schedule_id("story")))
    desk.record(*told(e.LimitSet(limit="quota:x", rate=5.0), stream=LIMITS))
    before = desk.databases.digests()
    for view in before:
        desk.databases.projector().rebuild(view)
    assert desk.databases.digests() == before
    assert len(set(before.values())) == len(before)
