from collections.abc import Iterable, Sequence

import pytest
from integration.projections.databases import Databases
from unit.projections.story import (
    OTHER,
    RUN,
    assigned,
    completed,
    failed,
    registered,
    run_of,
    started,
    told,
)

from dalsegno_bus.errors import Unavailable
from dalsegno_orchestrator.history import Recorded, Sealed
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.catalog import VIEWS, forget_other_history
from dalsegno_projections.projector import Projector
from dalsegno_projections.storage.rows import PARKED, ParkedRow, Select
from dalsegno_projections.views.audit import AUDIT
from dalsegno_projections.views.runs import RUNS
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key
from dalsegno_projections.views.tasks import TASKS

DOCUMENT = {"workflow": "story", "version": 1, "tasks": {"a": {"capability": "do"}}}


def whole_run(name: str) -> list[Sealed]:
    return told(
        started({"name": name}, team="eu"),
        assigned("a"),
        failed("a"),
        assigned("a", 2, "bob"),
        completed("a", {"text": "ünï\x00 ☃"}, 2, "bob"),
        e.RunCompleted(output=name),
        stream=run_of(name),
    )


def unknown_kind(sealed: Sealed) -> Sealed:
    return Sealed(
        stream_id=sealed.stream_id,
        version=sealed.version,
        kind="task-dreamt.v9",
        state=sealed.state,
        digest=sealed.digest,
    )


def parked(databases: Databases) -> list[ParkedRow]:
    return databases.rows.select(PARKED, Select(limit=1_000))


def test_what_is_recorded_comes_into_every_view(databases: Databases) -> None:
    databases.store.append([*registered(DOCUMENT), *whole_run("x")])
    databases.projector().catch_up()
    (run,) = databases.rows.select(RUNS, Select())
    (task,) = databases.rows.select(TASKS, Select())
    assert (run.status, run.version, task.status, task.agent) == (
        "completed",
        6,
        "completed",
        "bob",
    )
    assert databases.rows.count(AUDIT) == 7
    newest = databases.store.newest_position()
    assert {databases.rows.position(view.name) for view in VIEWS} == {newest}


def test_a_rebuild_gives_the_same_bytes_as_following_live(databases: Databases) -> None:
    live = databases.projector(batch_events_max=4)
    for number in range(10):
        databases.store.append(whole_run(str(number)))
        live.catch_up()
    before = databases.digests()
    for view in VIEWS:
        databases.projector(batch_events_max=7).rebuild(view.name)
    assert databases.digests() == before
    assert databases.rows.count(RUNS) == 10


def test_a_view_that_lags_catches_up_while_the_others_go_on(databases: Databases) -> None:
    for number in range(5):
        databases.store.append(whole_run(str(number)))
    databases.projector().catch_up()
    before = databases.digests()
    databases.rows.reset("tasks")
    projector = databases.projector(batch_events_max=6)
    databases.store.append(told(started(), stream=OTHER))
    assert projector.step()
    newest = databases.store.newest_position()
    assert databases.rows.position("runs") == newest
    assert 0 < databases.rows.position("tasks") < newest
    projector.catch_up()
    assert databases.rows.position("tasks") == newest
    assert databases.digests()["tasks"] == before["tasks"]


class BusyHistory:
    """A store that grows each time somebody has read it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reads = 0

    def follow(self, *, after: int, limit: int) -> list[Recorded]:
        found = self._store.follow(after=after, limit=limit)
        self._reads += 1
        self._store.append(told(started(), stream=run_of(f"busy {self._reads}")))
        return found

    def newest_position(self) -> int:
        return self._store.newest_position()


def test_a_view_that_lags_joins_the_others_though_events_keep_coming(sqlite: Databases) -> None:
    for number in range(4):
        sqlite.store.append(whole_run(str(number)))
    sqlite.projector().catch_up()
    sqlite.rows.reset("tasks")
    projector = Projector(BusyHistory(sqlite.store), sqlite.rows, VIEWS)
    assert projector.step()
    assert len({sqlite.rows.position(view.name) for view in VIEWS}) == 1
    assert sqlite.rows.position("tasks") < sqlite.store.newest_position()


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_an_event_that_cannot_be_read_is_parked_and_passed_by(
    databases: Databases, batch: int
) -> None:
    bad = told(started(), assigned("a"), completed("a"))
    databases.store.append([*whole_run("before")])
    databases.store.append([bad[0], unknown_kind(bad[1]), bad[2]])
    databases.store.append([*whole_run("after")])
    projector = databases.projector(batch_events_max=batch)
    projector.catch_up()
    rows = parked(databases)
    assert {row.view for row in rows} == {view.name for view in VIEWS}
    unread = [row for row in rows if row.kind == "task-dreamt.v9"]
    assert {row.view for row in unread} == {view.name for view in VIEWS}
    assert {(row.stream_id, row.version) for row in rows} == {(str(RUN), 2), (str(RUN), 3)}
    assert "task-dreamt.v9" in unread[0].reason
    held = {row.view for row in rows if row.version == 3}
    assert held == {"runs", "tasks", "schedules"}
    assert len(rows) == projector.parked == len(VIEWS) + len(held)
    beyond = databases.store.follow(after=unread[0].position, limit=1)
    assert beyond[0].stream_id == RUN
    assert beyond[0].version == 3
    assert databases.rows.count(RUNS, Select(equal={"status": "completed"})) == 2
    assert databases.rows.load(RUNS, [(str(RUN),)])[str(RUN),].version == 1
    assert databases.rows.count(AUDIT, Select(equal={"stream_id": str(RUN)})) == 2


def test_the_last_event_may_be_the_one_that_cannot_be_read(databases: Databases) -> None:
    bad = told(started(), assigned("a"))
    databases.store.append([bad[0], unknown_kind(bad[1])])
    databases.projector().catch_up()
    newest = databases.store.newest_position()
    assert {row.position for row in parked(databases)} == {newest}
    assert databases.rows.position("runs") == newest


def test_two_bad_events_in_a_row_are_two_parked_events(sqlite: Databases) -> None:
    bad = told(started(), assigned("a"), completed("a"))
    sqlite.store.append([bad[0], unknown_kind(bad[1]), unknown_kind(bad[2])])
    sqlite.projector().catch_up()
    assert sorted({row.position for row in parked(sqlite)}) == [2, 3]


class PickyView:
    """Takes every event but completions, on which it fails; another one it cannot write."""

    name = "picky"
    events_stand_alone = True
    tables: Sequence[AnyTable] = ()

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        if entry.event.kind == "run-completed.v1":
            raise LookupError("no idea what that touches")
        return ()

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        if entry.event.kind in {"task-completed.v1", "run-completed.v1"}:
            raise LookupError("no idea what that means")
        return ()


def test_an_event_that_one_view_cannot_take_is_parked_for_it_alone(sqlite: Databases) -> None:
    views = [*VIEWS, PickyView()]
    sqlite.store.append([*whole_run("x"), *whole_run("y")])
    projector = Projector(sqlite.store, sqlite.rows, views, batch_events_max=5)
    projector.catch_up()
    rows = parked(sqlite)
    assert [(row.view, row.position, row.kind) for row in rows] == [
        ("picky", 5, "task-completed.v1"),
        ("picky", 6, "run-completed.v1"),
        ("picky", 11, "task-completed.v1"),
        ("picky", 12, "run-completed.v1"),
    ]
    assert rows[0].reason == "LookupError: no idea what that means"
    assert (rows[0].stream_id, rows[0].version) == (str(run_of("x")), 5)
    assert sqlite.rows.position("picky") == sqlite.rows.position("runs") == 12


def test_a_value_that_the_database_refuses_parks_its_event_alone(databases: Databases) -> None:
    huge = e.TaskAssigned(task_id="a", attempt=2**63, agent="ann", capability="do")
    databases.store.append(
        [*whole_run("x"), *told(started(), huge, completed("a")), *whole_run("y")]
    )
    databases.projector().catch_up()
    assert [(row.view, row.kind) for row in parked(databases)] == [
        ("tasks", "task-assigned.v1"),
        ("tasks", "task-completed.v1"),
    ]
    assert "refuses a value" in parked(databases)[0].reason
    assert databases.rows.count(RUNS) == 3
    assert databases.rows.load(TASKS, [(str(RUN), "a")]) == {}
    assert databases.rows.load(TASKS, [(str(run_of("y")), "a")])[str(run_of("y")), "a"].attempt == 2


def test_two_processes_that_follow_give_the_rows_of_one(databases: Databases) -> None:
    for number in range(6):
        databases.store.append(whole_run(str(number)))
    one = databases.projector(batch_events_max=5)
    two = Projector(databases.open_store(), databases.open_rows(), VIEWS, batch_events_max=3)
    while one.step() | two.step():
        pass
    followed = databases.digests()
    databases.projector().rebuild("runs")
    assert databases.digests() == followed
    assert parked(databases) == []


class MovedHistory:
    """A store during whose reading another process moves the views."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def follow(self, *, after: int, limit: int) -> list[Recorded]:
        found = self._databases.store.follow(after=after, limit=limit)
        self._databases.projector().catch_up()
        return found

    def newest_position(self) -> int:
        return self._databases.store.newest_position()


def test_who_was_overtaken_looks_where_the_view_is_now(sqlite: Databases) -> None:
    sqlite.store.append(whole_run("x"))
    overtaken = Projector(MovedHistory(sqlite), sqlite.open_rows(), VIEWS)
    assert overtaken.step()
    assert not overtaken.step()
    assert sqlite.rows.count(AUDIT) == 6


class AwayHistory:
    def follow(self, *, after: int, limit: int) -> list[Recorded]:
        raise Unavailable("the event store is away")

    def newest_position(self) -> int:
        raise Unavailable("the event store is away")


def test_a_store_that_is_away_parks_nothing(sqlite: Databases) -> None:
    with pytest.raises(Unavailable):
        Projector(AwayHistory(), sqlite.rows, VIEWS).step()
    assert parked(sqlite) == []


def test_views_of_a_store_that_was_begun_anew_are_dropped(databases: Databases) -> None:
    databases.store.append(whole_run("x"))
    databases.projector().catch_up()
    assert not forget_other_history(databases.store, databases.rows)
    anew = Databases(databases.store_url, databases.views_url, f"{databases.namespace}n")
    with anew.opened:
        assert forget_other_history(anew.store, databases.rows)
        assert databases.rows.count(RUNS) == databases.rows.position("runs") == 0
        databases.projector().catch_up()
        anew.store.append([*whole_run("y"), *whole_run("z")])
        assert forget_other_history(anew.store, databases.rows)
