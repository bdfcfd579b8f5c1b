"""What the event store promises, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from dalsegno_bus.errors import SettingsError, StoreError, Unavailable, VersionConflict
from dalsegno_orchestrator.history import NO_DIGEST, Sealed, seal, unseal
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import PermitChange, PermitRow
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import RunStarted, TaskCompleted, TaskSkipped

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ROWS = 70_000
"""More than a database takes as parameters of one statement."""
ROOT = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be00f")


def stream(name: str) -> UUID:
    return uuid5(ROOT, name)


def events(name: str, count: int, *, first: int = 1, previous: bytes = NO_DIGEST) -> list[Sealed]:
    """`count` chained events of one stream."""
    sealed: list[Sealed] = []
    for version in range(first, first + count):
        event = TaskSkipped(task_id=f"t{version}", reason="test")
        sealed.append(
            seal(stream(name), version, event, at=AT, by="test", cause="m", previous=previous)
        )
        previous = sealed[-1].digest
    return sealed


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Iterator[Store]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/store.db"
    elif request.param == "memory":
        url = "memory:contract"
    else:
        url = request.getfixturevalue("postgres_url")
    opened = Store(url, namespace=namespace)
    opened.ensure_schema()
    yield opened
    opened.close()


def test_what_was_appended_is_read_back_in_order(store: Store) -> None:
    store.append([*events("a", 3), *events("b", 2)])
    read = store.read(stream("a"))
    assert [recorded.version for recorded in read] == [1, 2, 3]
    assert [recorded.event for recorded in read] == [
        TaskSkipped(task_id=f"t{version}", reason="test") for version in (1, 2, 3)
    ]
    assert (read[0].at, read[0].by, read[0].cause) == (AT, "test", "m")


def test_a_part_of_a_stream_can_be_read(store: Store) -> None:
    store.append(events("a", 5))
    assert [r.version for r in store.read(stream("a"), after=2)] == [3, 4, 5]
    assert [r.version for r in store.read(stream("a"), after=1, until=3)] == [2, 3]


def test_each_event_carries_the_digest_of_the_one_before(store: Store) -> None:
    store.append(events("a", 3))
    first, second, third = store.read(stream("a"))
    assert first.previous == NO_DIGEST
    assert (second.previous, third.previous) == (first.digest, second.digest)


def test_appending_to_a_version_that_is_taken_writes_nothing_at_all(store: Store) -> None:
    store.append(events("a", 2))
    with pytest.raises(VersionConflict):
        store.append(
            [*events("b", 1), *events("a", 1, first=2)],
            opened=[OpenRun(run_id=stream("b"), partition=1, due_at=None)],
        )
    assert store.read(stream("b")) == []
    assert store.open_runs([1]) == []


def test_followers_see_all_streams_in_the_order_of_their_positions(store: Store) -> None:
    store.append(events("a", 2))
    store.append(events("b", 2))
    seen = store.follow(after=0, limit=3)
    rest = store.follow(after=seen[-1].position, limit=3)
    both = [*seen, *rest]
    assert [r.stream_id for r in both] == [stream("a")] * 2 + [stream("b")] * 2
    assert sorted(r.position for r in both) == [r.position for r in both]
    assert store.newest_position() == both[-1].position


def test_the_index_of_open_runs_changes_with_the_events(store: Store) -> None:
    one = OpenRun(run_id=stream("a"), partition=3, due_at=AT)
    two = OpenRun(run_id=stream("b"), partition=4, due_at=None)
    store.append(events("a", 1), opened=[one, two])
    assert store.open_runs([3]) == [one]
    later = OpenRun(run_id=stream("a"), partition=3, due_at=None)
    store.append([], opened=[later], closed=[stream("b")])
    assert store.open_runs([3, 4]) == [later]


def test_an_append_of_sixteen_megabytes_goes_through(store: Store) -> None:
    big = TaskCompleted(
        task_id="t", attempt=1, agent="a", replica="r", capability="do", output="x" * 16_000_000
    )
    store.append([seal(stream("a"), 1, big, at=AT, by="t", cause="m", previous=NO_DIGEST)])
    (recorded,) = store.read(stream("a"))
    assert recorded.event == big


def test_an_append_of_many_events_of_six_kilobytes_goes_through(store: Store) -> None:
    previous, sealed = NO_DIGEST, list[Sealed]()
    for version in range(1, 201):
        event = TaskSkipped(task_id="t", reason="y" * 6_000)
        sealed.append(
            seal(stream("a"), version, event, at=AT, by="t", cause="m", previous=previous)
        )
        previous = sealed[-1].digest
    store.append(sealed)
    assert len(store.read(stream("a"))) == 200


def test_several_processes_may_create_the_tables_at_once(store: Store, namespace: str) -> None:
    fresh = [Store(store.url, namespace=f"{namespace}x") for _ in range(4)]
    faults: list[BaseException] = []

    def create(one: Store) -> None:
        try:
            one.ensure_schema()
        except BaseException as error:  # noqa: BLE001 - told to the test below
            faults.append(error)

    threads = [threading.Thread(target=create, args=(one,)) for one in fresh]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in fresh:
        one.close()
    assert faults == []


def test_a_tailing_reader_misses_no_event_of_many_writers(store: Store) -> None:
    writers, each = 4, 40
    stop = threading.Event()
    seen: list[tuple[UUID, int]] = []

    def tail() -> None:
        position = 0
        while True:
            finished = stop.is_set()
            found = store.follow(after=position, limit=50)
            seen.extend((r.stream_id, r.version) for r in found)
            position = found[-1].position if found else position
            if finished and not found:
                return

    def write(number: int) -> None:
        previous = NO_DIGEST
        for version in range(1, each + 1):
            (event,) = events(f"w{number}", 1, first=version, previous=previous)
            store.append([event])
            previous = event.digest

    reader = threading.Thread(target=tail)
    reader.start()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    assert sorted(seen) == sorted(
        (stream(f"w{number}"), version)
        for number in range(writers)
        for version in range(1, each + 1)
    )


@pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)
def test_an_append_of_seventy_thousand_rows_of_each_kind_goes_through(store: Store) -> None:
    many = [OpenRun(run_id=stream(f"r{n}"), partition=1, due_at=None) for n in range(ROWS)]
    taken = [
        PermitRow(
            limit=f"l{n}", run_id=run.run_id, task_id="t", attempt=1, amount=1.0, taken_at=0.0
        )
        for n, run in enumerate(many)
    ]
    one = events("a", 1)[0]
    store.append(
        [replace(one, version=version) for version in range(1, ROWS + 1)],
        opened=many,
        permits=PermitChange(taken=taken),
    )
    assert store.newest_position() >= ROWS
    assert len(store.permits([row.limit for row in taken])) == ROWS
    store.append([], closed=[run.run_id for run in many[1:]])
    assert store.open_runs([1]) == many[:1]


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_tables_of_a_newer_version_are_left_alone(
    database: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if database == "sqlite":
        url = f"sqlite:///{tmp_path}/store.db"
    else:
        url = request.getfixturevalue("postgres_url")
    with monkeypatch.context() as patch:
        patch.setattr(f"dalsegno_orchestrator.storage.{database}.SCHEMA_VERSION", 2)
        patch.setattr("dalsegno_orchestrator.storage.schema.SCHEMA_VERSION", 2)
        newer = Store(url, namespace=namespace)
        newer.ensure_schema()
        newer.append(events("a", 1))
        newer.close()
    older = Store(url, namespace=namespace)
    for call in (
        older.ensure_schema,
        lambda: older.append(events("a", 1, first=2)),
        lambda: older.read(stream("a")),
        older.newest_position,
    ):
        with pytest.raises(SettingsError, match="schema 2, made by a newer Dalsegno"):
            call()
    older.close()


def test_trouble_is_said_once_and_again_after_a_while_and_when_it_is_over(
    tmp_path: Path,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "dalsegno.store")
    folder = tmp_path / "away"
    store = Store(f"sqlite:///{folder}/store.db", namespace=namespace)
    folder.rmdir()

    def fail() -> None:
        with pytest.raises(Unavailable):
            store.ensure_schema()

    fail()
    fail()
    assert caplog.messages == ["store_away"]
    monkeypatch.setattr("dalsegno_orchestrator.storage.answering.SAY_AGAIN_SECONDS", 0.0)
    fail()
    assert caplog.messages == ["store_away"] * 2
    folder.mkdir()
    store.ensure_schema()
    store.ensure_schema()
    assert caplog.messages == ["store_away"] * 2 + ["store_back"]
    store.close()


def test_a_kind_that_nobody_knows_is_named() -> None:
    with pytest.raises(StoreError, match=r"task-teleported\.v9"):
        unseal(stream("a"), 1, "task-teleported.v9", b"{}")


def test_bytes_that_are_no_event_are_named() -> None:
    with pytest.raises(StoreError, match="event 3"):
        unseal(stream("a"), 3, RunStarted.kind, b'{"at": 1}')


def test_a_store_of_an_unknown_kind_is_refused_with_what_would_do() -> None:
    with pytest.raises(SettingsError, match="sqlite:///"):
        Store("mysql://localhost/x", namespace="ds")


def test_a_database_that_is_not_there_is_unavailable_and_its_password_stays_secret() -> None:
    store = Store("postgresql://me:secret@127.0.0.1:1/x", namespace="ds")
    with pytest.raises(Unavailable, match="refused") as caught:
        store.ensure_schema()
    store.close()
    assert "secret" not in str(caught.value)
    assert store.trouble == str(caught.value)
