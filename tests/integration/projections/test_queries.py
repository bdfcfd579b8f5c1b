from typing import Any
from uuid import UUID

import pytest
from integration.projections.desk import DOCUMENT, Desk, record_played
from unit.projections.story import (
    assigned,
    at,
    chain,
    completed,
    iso,
    registered,
    run_of,
    started,
    told,
)

from dalsegno_bus.errors import SettingsError, StoreError, UsageError
from dalsegno_bus.messages import RunChanged
from dalsegno_orchestrator.history import Sealed
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections import asking
from dalsegno_projections import questions as q
from dalsegno_projections.catalog import VIEWS
from support.scenario import RUN


async def test_a_run_is_told_as_it_stands(desk: Desk) -> None:
    desk.record(*told(started(), assigned("a"), stream=run_of("x")))
    answer = await desk.ask(asking.RUN, q.AskRun(run_id=str(run_of("x"))))
    assert answer == RunChanged(run_id=run_of("x"), version=2, status="running")
    desk.record(*told(started(), e.RunCompleted(output={"n": 1}), stream=run_of("y")))
    answer = await desk.ask(asking.RUN, q.AskRun(run_id=str(run_of("y"))))
    assert (answer.status, answer.output, answer.error) == ("completed", {"n": 1}, None)


async def test_a_failed_run_is_told_with_its_error(plain: Desk) -> None:
    plain.record(*told(started(), e.RunCancelled(reason="enough"), stream=run_of("x")))
    answer = await plain.ask(asking.RUN, q.AskRun(run_id=str(run_of("x"))))
    assert (answer.status, answer.error.code, answer.error.message) == (
        "cancelled",
        "run.cancelled",
        "enough",
    )


async def test_an_output_that_the_views_do_not_keep_comes_from_the_history(plain: Desk) -> None:
    output = "x" * 200_000
    plain.record(*told(started(), e.RunCompleted(output=output), stream=run_of("x")))
    answer = await plain.ask(asking.RUN, q.AskRun(run_id=str(run_of("x"))))
    assert answer.output == output
    plain.record(*told(started(), e.RunCompleted(output=output * 5), stream=run_of("y")))
    with pytest.raises(UsageError, match="1000002 bytes"):
        await plain.ask(asking.RUN, q.AskRun(run_id=str(run_of("y"))))


async def test_a_run_that_no_view_has_heard_of_yet_is_told_from_its_history(plain: Desk) -> None:
    plain.databases.store.append(told(started(), assigned("a"), stream=run_of("x")))
    answer = await plain.ask(asking.RUN, q.AskRun(run_id=str(run_of("x"))))
    assert (answer.status, answer.version) == ("running", 2)


async def test_the_first_digits_name_a_run_as_long_as_they_are_its_own(desk: Desk) -> None:
    x, y = run_of("x"), run_of("y")
    desk.record(*told(started(), stream=x), *told(started(), stream=y))
    for named in (x.hex[:8], str(x)[:13], x.hex, str(x).upper()):
        answer = await desk.ask(asking.RUN, q.AskRun(run_id=named))
        assert answer.run_id == x, named


async def test_digits_that_several_runs_share_are_refused_and_the_runs_named(desk: Desk) -> None:
    runs = [UUID(f"0190a1b2-0000-7000-8000-{number:012}") for number in range(7)]
    for run in runs:
        desk.record(*told(started(), stream=run))
    with pytest.raises(UsageError, match=f"give more digits of {runs[0]}.* and more"):
        await desk.ask(asking.RUN, q.AskRun(run_id="0190a1b2"))
    answer = await desk.ask(asking.RUN, q.AskRun(run_id=str(runs[3])))
    assert answer.run_id == runs[3]


async def test_a_run_that_is_not_there_is_refused(plain: Desk) -> None:
    with pytest.raises(UsageError, match="there is no run"):
        await plain.ask(asking.RUN, q.AskRun(run_id=str(run_of("nobody"))))
    with pytest.raises(UsageError, match="begins with 'deadbeef'"):
        await plain.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id="deadbeef"))


async def test_a_run_is_shown_with_its_tasks_in_the_order_they_began(desk: Desk) -> None:
    record_played(desk)
    shown = await desk.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN)))
    assert (shown.run.status, shown.input, shown.run.tasks) == (
        "completed",
        {"year": 2025},
        {"completed": 4},
    )
    assert [task.task_id for task in shown.tasks] == ["gather", "gather-0", "gather-1", "analyze"]
    assert shown.tasks[2].attempt == 2
    assert shown.tasks[2].output == {"rows": 2}
    assert shown.tasks[2].candidates[0]["agent"] == "a"
    assert not shown.more
    page = await desk.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN), limit=2, offset=1))
    assert [task.task_id for task in page.tasks] == ["gather-0", "gather-1"]
    assert page.more


async def test_an_answer_is_cut_to_fit_into_a_message(plain: Desk) -> None:
    tasks = [f"t{number}" for number in range(30)]
    events: list[e.Event] = [started("i" * 60_000)]
    for task in tasks:
        events += [assigned(task), completed(task, "o" * 60_000)]
    events.append(e.RunCompleted(output="p" * 60_000))
    plain.record(*told(*events, stream=run_of("x")))
    named: list[str] = []
    while True:
        question = q.AskRunDetail(run_id=str(run_of("x")), offset=len(named))
        shown = await plain.ask(asking.RUN_DETAIL, question)
        assert shown.tasks
        named += [task.task_id for task in shown.tasks]
        if not shown.more:
            break
    assert named == tasks


async def test_runs_are_listed_the_newest_first_and_filtered(desk: Desk) -> None:
    for number in range(5):
        events = [started(None, team="eu" if number % 2 else "us", n=str(number))]
        run = chain([(events[0], at(number))], stream=run_of(str(number)))
        desk.record(*run)
    desk.record(*told(started(), e.RunCompleted(), stream=run_of("done")))

    async def found(**filters: Any) -> list[str]:
        listed = await desk.ask(asking.RUNS, q.AskRuns(**filters))
        assert listed.total == len(listed.runs)
        return [run.labels.get("n", "-") for run in listed.runs]

    assert (await found())[:4] == ["4", "3", "2", "1"]
    assert await found(labels={"team": "eu"}) == ["3", "1"]
    assert await found(labels={"team": "eu", "n": "3"}) == ["3"]
    assert await found(status="completed") == ["-"]
    assert await found(workflow="other") == []
    page = await desk.ask(asking.RUNS, q.AskRuns(status="running", limit=2, offset=1))
    assert ([run.labels["n"] for run in page.runs], page.total, page.more) == (["3", "2"], 5, True)


async def test_a_history_is_told_event_by_event_in_pages(desk: Desk) -> None:
    run = record_played(desk)
    told_of = await desk.ask(asking.HISTORY, q.AskHistory(run_id=RUN.hex[:8], limit=3))
    assert [entry.version for entry in told_of.entries] == [1, 2, 3]
    assert told_of.more
    assert told_of.entries[0].sentence == "A run of test (version 1) was accepted."
    assert told_of.entries[0].event["input"] == {"year": 2025}
    rest = await desk.ask(asking.HISTORY, q.AskHistory(run_id=str(RUN), after=3))
    assert [entry.version for entry in rest.entries] == list(range(4, len(run.history) + 1))
    assert not rest.more


async def test_a_history_with_an_event_that_cannot_be_read_is_told_around_it(plain: Desk) -> None:
    good = told(started(), assigned("a"), completed("a"), stream=run_of("x"))
    bad = Sealed(stream_id=good[1].stream_id, version=2, kind="dream.v9", state=b"{}", digest=b"")
    plain.record(good[0], bad, good[2])
    told_of = await plain.ask(asking.HISTORY, q.AskHistory(run_id=str(run_of("x"))))
    assert [entry.version for entry in told_of.entries] == [1, 2, 3]
    assert "cannot be read" in told_of.entries[1].sentence
    assert "dream.v9" in told_of.entries[1].sentence
    lag = await plain.ask(asking.LAG, q.AskLag())
    assert {view.view for view in lag.views if view.parked == 2} == {"runs", "tasks", "schedules"}
    assert {view.parked for view in lag.views} == {1, 2}
    assert "dream.v9" in lag.parked[0].reason
    page = await plain.ask(asking.PARKED, q.AskParked(view="runs", limit=1))
    assert (page.total, page.more, page.parked[0].kind) == (2, True, "dream.v9")
    rest = await plain.ask(asking.PARKED, q.AskParked(view="runs", offset=1))
    assert (rest.more, "held back" in rest.parked[0].reason) == (False, True)


async def test_an_event_that_is_too_large_for_an_answer_is_told_without_its_payload(
    plain: Desk,
) -> None:
    plain.record(*told(started("x" * 400_000), assigned("a"), stream=run_of("x")))
    told_of = await plain.ask(asking.HISTORY, q.AskHistory(run_id=str(run_of("x"))))
    assert [entry.event is None for entry in told_of.entries] == [True, False]


@pytest.mark.parametrize("by_time", [False, True])
async def test_a_run_is_shown_as_it_stood_after_every_event(plain: Desk, *, by_time: bool) -> None:
    run = record_played(plain)
    then = None
    for version, (_, moment) in enumerate(run.history, start=1):
        when = moment.isoformat() if by_time else str(version)
        then = await plain.ask(asking.STATE, q.AskState(run_id=str(RUN), at=when))
        assert by_time or then.version == version
        assert then.at == moment.isoformat(timespec="microseconds")
    assert then is not None
    assert (then.status, then.context) == ("completed", {"region": "eu"})
    assert {task.task_id: task.status for task in then.tasks} == dict.fromkeys(
        ["gather", "gather-0", "gather-1", "analyze"], "completed"
    )
    assert [task.output for task in then.tasks][-1] == "fine"
    first = await plain.ask(asking.STATE, q.AskState(run_id=str(RUN), at="1"))
    assert [(task.task_id, task.status) for task in first.tasks] == [("gather", "ready")]


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        ("0", "there is no 0"),
        ("9999", "there is no 9999"),
        ("9" * 60, "there is no 9"),
        ("2020-01-01", "it began"),
        ("yesterday", "neither an event's number nor a time"),
    ],
)
async def test_a_moment_that_the_run_does_not_have_is_refused(
    plain: Desk, moment: str, reason: str
) -> None:
    record_played(plain)
    with pytest.raises(UsageError, match=reason):
        await plain.ask(asking.STATE, q.AskState(run_id=str(RUN), at=moment))


async def test_a_run_without_its_definition_cannot_be_played_again(plain: Desk) -> None:
    plain.record(*told(started(), stream=run_of("x")))
    with pytest.raises((StoreError, UsageError), match="not in the event store"):
        await plain.ask(asking.STATE, q.AskState(run_id=str(run_of("x")), at="1"))


async def test_the_audit_trail_is_told_in_pages(desk: Desk) -> None:
    run = record_played(desk)
    desk.record(*told(started(), stream=run_of("x")))
    trail = await desk.ask(asking.AUDIT, q.AskAudit(limit=2))
    assert [entry.kind for entry in trail.entries] == ["workflow-registered.v1", "run-started.v1"]
    assert trail.more
    last = trail.entries[-1].position
    rest = await desk.ask(asking.AUDIT, q.AskAudit(after=last, run_id=str(RUN)))
    assert [entry.version for entry in rest.entries] == list(range(2, len(run.history) + 1))
    begun = await desk.ask(asking.AUDIT, q.AskAudit(kind="run-started.v1"))
    assert [entry.stream_id for entry in begun.entries] == [str(RUN), str(run_of("x"))]


async def test_agents_are_told_with_their_means(desk: Desk) -> None:
    desk.record(
        *told(started(), assigned("a"), completed("a"), assigned("b"), assigned("c", 1, "z"))
    )
    listed = await desk.ask(asking.AGENTS, q.AskAgents())
    ann, z = listed.agents
    assert (ann.agent, ann.assigned, ann.completed, ann.last_seen_at) == ("ann", 2, 1, iso(2))
    assert (ann.queue_seconds_mean, ann.work_seconds_mean) == (0.25, 0.5)
    assert ann.work_seconds_p50 == ann.work_seconds_p95 == pytest.approx(0.5, rel=0.07)
    assert (z.agent, z.work_seconds_mean) == ("z", None)


async def test_workflows_are_listed_and_one_is_shown_with_its_definition(desk: Desk) -> None:
    desk.record(*registered(DOCUMENT))
    listed = await desk.ask(asking.WORKFLOWS, q.AskWorkflows())
    assert [(flow.workflow, flow.version, flow.steps) for flow in listed.workflows] == [
        ("test", 1, 2)
    ]
    assert listed.definition is None
    shown = await desk.ask(asking.WORKFLOWS, q.AskWorkflows(workflow="test"))
    assert list(shown.definition["tasks"]) == ["gather", "analyze"]
    with pytest.raises(UsageError, match="no workflow 'test' of version 2"):
        await desk.ask(asking.WORKFLOWS, q.AskWorkflows(workflow="test", version=2))


async def test_the_lag_of_every_view_is_told(desk: Desk) -> None:
    desk.record(*told(started(), assigned("a"), stream=run_of("x")))
    lag = await desk.ask(asking.LAG, q.AskLag())
    assert {(view.view, view.events_max) for view in lag.views} == {
        (view.name, 0) for view in VIEWS
    }
    desk.databases.store.append(told(started(), stream=run_of("y")))
    lag = await desk.ask(asking.LAG, q.AskLag())
    assert all(view.events_max > 0 for view in lag.views)
    assert all(view.seconds is not None and view.seconds > 1.0 for view in lag.views)


async def test_the_trace_of_an_ended_run_is_sent_again(desk: Desk) -> None:
    record_played(desk)
    sent = await desk.ask(asking.TRACE, q.AskTrace(run_id=RUN.hex[:8]))
    assert desk.exporter is not None
    assert (sent.trace_id, sent.spans) == (RUN.hex, len(desk.exporter.spans))
    desk.record(*told(started(), stream=run_of("x")))
    with pytest.raises(UsageError, match="has not ended"):
        await desk.ask(asking.TRACE, q.AskTrace(run_id=str(run_of("x"))))


async def test_without_an_endpoint_a_trace_cannot_be_sent(plain: Desk) -> None:
    record_played(plain)
    with pytest.raises(SettingsError, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        await plain.ask(asking.TRACE, q.AskTrace(run_id=str(RUN)))
