"""What the event store promises of permits, on SQLite and on PostgreSQL."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from dalsegno_bus.errors import LimitsExceeded, VersionConflict
from dalsegno_bus.ids import LIMITS
from dalsegno_orchestrator.history import NO_DIGEST, Sealed, seal
from dalsegno_orchestrator.storage.permits import (
    SWEPT_MAX,
    Cap,
    GivenBack,
    PermitChange,
    PermitRow,
)
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import LimitSet, TaskSkipped

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NOW = AT.timestamp()
ROOT = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be00f")
LIMIT = "quota:gpu"


def stream(name: str) -> UUID:
    return uuid5(ROOT, name)


def event(name: str, version: int = 1) -> list[Sealed]:
    """One event of a stream; the digest before it does not matter here."""
    fact = TaskSkipped(task_id="t", reason="test")
    return [seal(stream(name), version, fact, at=AT, by="t", cause="m", previous=NO_DIGEST)]


def permit(
    run: str, *, task: str = "t", amount: float = 1.0, at: float = NOW, limit: str = LIMIT
) -> PermitRow:
    return PermitRow(
        limit=limit, run_id=stream(run), task_id=task, attempt=1, amount=amount, taken_at=at
    )


def over(run: str, *, task: str = "t", at: float = NOW) -> GivenBack:
    return GivenBack(run_id=stream(run), task_id=task, attempt=1, at=at)


def takes(
    *rows: PermitRow, cap: Cap | None = None, back: tuple[GivenBack, ...] = ()
) -> PermitChange:
    return PermitChange(taken=rows, given_back=back, caps={} if cap is None else {cap.limit: cap})


TWO = Cap(limit=LIMIT, concurrency=2)


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


def test_what_was_taken_stands_until_it_is_given_back(store: Store) -> None:
    store.append(event("a"), permits=takes(permit("a", amount=0.5), permit("a", task="u")))
    store.append(event("a", 2), permits=takes(back=(over("a", at=NOW + 1),)))
    assert store.permits() == [
        PermitRow(
            limit=LIMIT,
            run_id=stream("a"),
            task_id="t",
            attempt=1,
            amount=0.5,
            taken_at=NOW,
            given_back_at=NOW + 1,
        ),
        permit("a", task="u"),
    ]


def test_only_some_limits_can_be_asked_for(store: Store) -> None:
    other = permit("a", limit="capability:do")
    store.append(event("a"), permits=takes(permit("a"), other))
    assert store.permits(["capability:do"]) == [other]
    assert store.permits([]) == []


def test_taking_the_third_of_two_writes_nothing_at_all(store: Store) -> None:
    store.append(event("a"), permits=takes(permit("a"), permit("a", task="u"), cap=TWO))
    with pytest.raises(LimitsExceeded, match="quota:gpu allows 2 at the same time"):
        store.append(event("b"), permits=takes(permit("b"), cap=TWO))
    assert store.read(stream("b")) == []
    assert len(store.permits()) == 2


def test_what_one_transaction_gives_back_it_may_take_again(store: Store) -> None:
    one = Cap(limit=LIMIT, concurrency=1)
    store.append(event("a"), permits=takes(permit("a"), cap=one))
    store.append(
        [*event("a", 2), *event("b")], permits=takes(permit("b"), cap=one, back=(over("a"),))
    )
    standing = [row.run_id for row in store.permits() if row.given_back_at is None]
    assert standing == [stream("b")]


def test_a_rate_counts_what_was_taken_in_its_time_though_it_was_given_back(store: Store) -> None:
    two_a_minute = Cap(limit=LIMIT, rate=2, rate_seconds=60)
    store.append(event("a"), permits=takes(permit("a"), cap=two_a_minute, back=(over("a"),)))
    store.append(event("b"), permits=takes(permit("b", at=NOW + 59), cap=two_a_minute))
    with pytest.raises(LimitsExceeded, match="within 60 s"):
        store.append(event("c"), permits=takes(permit("c", at=NOW + 59.5), cap=two_a_minute))
    store.append(event("c"), permits=takes(permit("c", at=NOW + 60), cap=two_a_minute))


def test_fractions_that_add_up_to_the_cap_are_within_it(store: Store) -> None:
    cap = Cap(limit=LIMIT, concurrency=0.3)
    rows = [permit("a", task=f"t{number}", amount=0.1) for number in range(3)]
    store.append(event("a"), permits=takes(*rows, cap=cap))
    assert len(store.permits()) == 3


def test_a_limit_that_was_lowered_holds_for_whoever_takes_next(store: Store) -> None:
    store.append(event("a"), permits=takes(permit("a"), permit("a", task="u"), cap=TWO))
    lower = Cap(limit=LIMIT, concurrency=1)
    store.append(event("a", 2), permits=takes(back=(over("a"),)))
    with pytest.raises(LimitsExceeded):
        store.append(event("b"), permits=takes(permit("b"), cap=lower))


def test_events_that_conflict_take_nothing(store: Store) -> None:
    store.append(event("a"))
    with pytest.raises(VersionConflict):
        store.append(event("a"), permits=takes(permit("a"), cap=TWO))
    assert store.permits() == []


def test_of_many_writers_racing_for_the_last_permits_exactly_so_many_win(
    store: Store, namespace: str
) -> None:
    writers = 6
    ready = threading.Barrier(writers)
    won: list[str] = []
    lost: list[str] = []

    def write(name: str) -> None:
        own = Store(store.url, namespace=namespace)
        try:
            ready.wait()
            own.append(event(name), permits=takes(permit(name), cap=TWO))
            won.append(name)
        except LimitsExceeded:
            lost.append(name)
        finally:
            own.close()

    threads = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (2, 4)
    assert {row.run_id for row in store.permits()} == {stream(name) for name in won}
    assert all(store.read(stream(name)) == [] for name in lost)


def test_a_crash_between_the_events_and_the_permits_leaves_neither(
    store: Store, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCut(BaseException):
        pass

    def cut(self: object, standing: float, taken: float) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr("dalsegno_orchestrator.storage.permits.Check.judge", cut)
        with pytest.raises(PowerCut):
            store.append(event("a"), permits=takes(permit("a"), cap=TWO))
    again = Store(store.url, namespace=namespace)
    try:
        assert again.permits() == []
        assert again.read(stream("a")) == []
        again.append(event("a"), permits=takes(permit("a"), cap=TWO))
    finally:
        again.close()


def test_what_counts_no_more_is_deleted_in_passing(store: Store) -> None:
    cap = Cap(limit=LIMIT, concurrency=10_000, rate=10_000, rate_seconds=60)
    many = SWEPT_MAX + 100
    rows = [permit("a", task=f"t{number}") for number in range(many)]
    back = tuple(over("a", task=row.task_id) for row in rows)
    store.append(event("a"), permits=takes(*rows, permit("a", task="long"), cap=cap, back=back))
    assert len(store.permits()) == many + 1
    for version, left in ((2, 100), (3, 0)):
        later = permit("b", task=f"t{version}", at=NOW + 61)
        store.append(event("a", version), permits=takes(later, cap=cap))
        kept = [row for row in store.permits() if row.given_back_at is not None]
        assert len(kept) == left
    assert [row.task_id for row in store.permits() if row.taken_at == NOW] == ["long"]


def limit_set(version: int = 1) -> list[Sealed]:
    fact = LimitSet(limit=LIMIT, concurrency=version)
    return [seal(LIMITS, version, fact, at=AT, by="t", cause="m", previous=NO_DIGEST)]


def test_what_was_decided_before_a_limit_was_set_is_not_written_after_that(store: Store) -> None:
    old = PermitChange(limits_version=0)
    store.append(event("a"), permits=old)
    store.append(limit_set(), permits=old)
    with pytest.raises(LimitsExceeded, match="the limits were changed"):
        store.append(event("b"), permits=old)
    assert store.read(stream("b")) == []
    new = PermitChange(limits_version=1)
    store.append([*event("b"), *limit_set(2)], permits=new)
    with pytest.raises(LimitsExceeded):
        store.append(event("c"), permits=new)
    store.append(event("c"))
