"""What a person sees of a run that goes on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from dalsegno.scene import Scene
from dalsegno_bus.ids import RunId, run_id_of_key
from dalsegno_bus.messages import AttemptStarted, Progress, RunChanged
from dalsegno_projections.questions import RunDetail, RunSummary, TaskSummary

RUN: RunId = run_id_of_key("ds", "test", "one")
BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat()


def task(task_id: str, status: str, **fields: Any) -> TaskSummary:
    nothing: dict[str, Any] = {
        name: 0 if repr(field.annotation) in {repr(int), repr(float)} else None
        for name, field in TaskSummary.model_fields.items()
        if field.is_required()
    }
    times = {"began_at": at(0), "changed_at": at(0)}
    given: dict[str, Any] = {
        "task_id": task_id,
        "step": task_id,
        "status": status,
        "candidates": [],
        **fields,
    }
    return TaskSummary.model_validate({**nothing, **times, **given})


def detail(version: int, *tasks: TaskSummary) -> RunDetail:
    run = RunSummary.model_validate(
        {
            **{
                name: None for name, field in RunSummary.model_fields.items() if field.is_required()
            },
            "run_id": str(RUN),
            "workflow": "report",
            "workflow_version": 1,
            "status": "running",
            "started_at": at(0),
            "changed_at": at(0),
            "started_by": "client:test",
            "version": version,
            "tasks": {},
            "waiting_for": {},
            "labels": {},
            "usd": 0.0,
            "tokens": 0,
        }
    )
    return RunDetail(
        run=run,
        input=None,
        input_bytes=0,
        output=None,
        output_bytes=0,
        tasks=list(tasks),
        more=False,
    )


def shown(scene: Scene, seconds: float) -> list[str]:
    console = Console(width=80, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(scene.draw(BEGIN + timedelta(seconds=seconds), 80))
    return [line.rstrip() for line in capture.get().splitlines()]


def started(task_id: str, seconds: float) -> AttemptStarted:
    return AttemptStarted(
        run_id=RUN, task_id=task_id, attempt=1, agent="a", replica="r",
        at=BEGIN + timedelta(seconds=seconds),
    )  # fmt: skip


def progress(task_id: str, fraction: float, message: str) -> Progress:
    return Progress(
        run_id=RUN, task_id=task_id, attempt=1, agent="a", replica="r", at=BEGIN,
        fraction=fraction, message=message,
    )  # fmt: skip


def changed(version: int) -> RunChanged:
    return RunChanged(run_id=RUN, version=version, status="running")


def test_a_task_that_nobody_has_begun_waits_and_one_at_work_works() -> None:
    scene = Scene(steps=("gather", "report"))
    scene.look(detail(2, task("gather", "assigned", attempt=1, agent="a", assigned_at=at(1))))
    assert "gather" in shown(scene, 4)[1]
    assert shown(scene, 4)[1].split() == ["gather", "assigned", "a", "1", "3.0", "s"]
    scene.hear(started("gather", 3))
    scene.hear(progress("gather", 0.4, "reading sheets"))
    assert shown(scene, 8)[1].split() == [
        "gather", "working", "a", "1", "2.0", "s", "5.0", "s", "40%", "reading", "sheets",
    ]  # fmt: skip


def test_a_task_that_ended_shows_what_its_agent_measured() -> None:
    scene = Scene()
    ended = task(
        "gather", "completed", attempt=2, agent="a", assigned_at=at(1),
        queue_seconds=0.5, work_seconds=90.0,
    )  # fmt: skip
    scene.look(detail(3, ended))
    line = ["gather", "completed", "a", "2", "500", "ms", "1", "min", "30", "s"]
    assert shown(scene, 500)[1].split() == line


def test_what_has_not_begun_is_shown_in_the_order_of_the_definition() -> None:
    scene = Scene(steps=("first", "second", "third"))
    scene.look(detail(2, task("third", "parked", parked_reason="nobody"), task("first", "ready")))
    assert [line.split()[0] for line in shown(scene, 1)[1:]] == ["first", "third", "second"]


def test_items_stand_below_their_task_in_order() -> None:
    items = [
        task(f"gather-{index}", "assigned", step="gather", role="item", index=index)
        for index in (2, 10, 0)
    ]
    scene = Scene(steps=("gather",))
    scene.look(detail(2, *items, task("gather", "expanded", items=3, items_over=1)))
    names = [line.split()[0] for line in shown(scene, 1)[1:]]
    assert names == ["gather", "gather-0", "gather-2", "gather-10"]
    assert "1 of 3 items" in shown(scene, 1)[1]


def test_many_items_are_counted_and_not_listed() -> None:
    items = [
        task(f"gather-{index}", "assigned", step="gather", index=index) for index in range(100)
    ]
    scene = Scene(steps=("gather",))
    scene.look(detail(2, task("gather", "expanded", items=100, items_over=7), *items))
    assert len(shown(scene, 1)) == 2
    assert "7 of 100 items" in shown(scene, 1)[1]


def test_it_knows_that_more_happened_than_it_was_told() -> None:
    scene = Scene()
    assert scene.is_behind
    scene.look(detail(3))
    assert not scene.is_behind
    scene.hear(changed(4))
    assert scene.is_behind
    scene.look(detail(2))
    assert scene.is_behind, "an older answer that comes late changes nothing"
    scene.look(detail(4))
    assert not scene.is_behind


def test_each_change_is_told_once() -> None:
    scene, before = Scene(), dict[str, str]()
    scene.look(detail(2, task("gather", "parked", parked_reason="no agent has it")))
    assert scene.changes(before) == ["gather           parked: no agent has it"]
    assert scene.changes(before) == []
    scene.look(detail(3, task("gather", "assigned", attempt=2, agent="a")))
    assert scene.changes(before) == ["gather           assigned a (attempt 2)"]


def test_words_of_others_cannot_steer_the_terminal() -> None:
    scene = Scene()
    evil = "\x1b[2Jboo\x07 [red]not markup[/red]\nnext"
    scene.look(detail(2, task("gather", "failed", error_message=evil)))
    [line] = shown(scene, 1)[1:]
    assert "[2Jboo [red]not markup[/red] next" in line
    assert "\x1b" not in line


def test_it_fits_eighty_columns_whatever_is_in_it() -> None:
    scene = Scene()
    long = task(
        "a_task_with_a_long_name_that_goes_on_and_on", "assigned", attempt=12, assigned_at=at(0),
        agent="an-agent-whose-name-is-long-too",
    )  # fmt: skip
    scene.look(detail(2, long))
    scene.hear(progress(long.task_id, 0.5, "words " * 40))
    assert max(len(line) for line in shown(scene, 1)) <= 80
