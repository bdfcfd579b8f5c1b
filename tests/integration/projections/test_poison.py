"""Events that a view cannot take: tried again, parked, held back, told, and taken at last."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta

import pytest
from integration.projections.databases import Databases
from integration.projections.waiting import until
from unit.projections.story import BEGIN, RUN, assigned, completed, run_of, started, told

from dalsegno_bus.errors import Unavailable
from dalsegno_orchestrator.history import Recorded, Sealed, UnreadableEvent
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections import projector as projecting
from dalsegno_projections import questions as q
from dalsegno_projections.catalog import VIEWS, retry_parked
from dalsegno_projections.follower import Follower
from dalsegno_projections.lagging import LagGauge, lags_of
from dalsegno_projections.projector import RETRY_SECONDS_MIN, Projector
from dalsegno_projections.storage.rows import PARKED, ParkedRow, Select
from dalsegno_projections.views.runs import RUNS
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key

TRIES = 4
NAMES = [view.name for view in VIEWS]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class SickView:
    """Cannot take the completion of one run, for so many tries."""

    name = "sick"
    events_stand_alone = False
    tables: Sequence[AnyTable] = ()

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.tried_at: list[float] = []
        self.taken: list[int] = []
        self.clock = Clock()

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return ()

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        if entry.event.kind == "task-completed.v1" and entry.stream == str(RUN):
            self.tried_at.append(self.clock())
            if len(self.tried_at) <= self.failures:
                raise LookupError("no idea what that means")
        self.taken.append(entry.recorded.position)
        return ()


def two_runs() -> list[Sealed]:
    """The poison is at 3; 4 is after it in its stream, 5 and 6 are another run's."""
    return [
        *told(started(), assigned("a"), completed("a"), e.RunCompleted(output=None)),
        *told(started(), completed("a"), stream=run_of("other")),
    ]


def sick(databases: Databases, failures: int) -> tuple[SickView, Projector]:
    view = SickView(failures)
    databases.store.append(two_runs())
    views = [*VIEWS, view]
    return view, Projector(
        databases.store, databases.rows, views, tries_max=TRIES, clock=view.clock
    )


def parked(databases: Databases) -> list[ParkedRow]:
    return databases.rows.select(PARKED, Select(limit=1_000))


def positions(databases: Databases) -> set[int]:
    return {databases.rows.position(name) for name in NAMES}


def test_an_event_is_tried_again_after_longer_and_longer_while_all_other_views_go_on(
    sqlite: Databases,
) -> None:
    view, projector = sick(sqlite, failures=TRIES - 1)
    while projector.step():
        pass
    assert positions(sqlite) == {6}
    assert sqlite.rows.position("sick") == 2, "it is past what it could take"
    assert "LookupError: no idea" in projector.troubles()["sick"]
    for _ in range(100):
        view.clock.seconds += RETRY_SECONDS_MIN / 2
        while projector.step():
            pass
    waits = [two - one for one, two in zip(view.tried_at, view.tried_at[1:], strict=False)]
    assert len(view.tried_at) == TRIES
    for number, seconds in enumerate(waits):
        assert 0 <= seconds - RETRY_SECONDS_MIN * 2**number <= RETRY_SECONDS_MIN
    assert (sqlite.rows.position("sick"), parked(sqlite), projector.troubles()) == (6, [], {})
    assert sorted(set(view.taken)) == [1, 2, 3, 4, 5, 6]


def test_what_fails_for_good_is_parked_and_its_stream_held_back_and_no_other(
    sqlite: Databases,
) -> None:
    view, projector = sick(sqlite, failures=1_000)
    for _ in range(100):
        view.clock.seconds += RETRY_SECONDS_MIN
        while projector.step():
            pass
    assert len(view.tried_at) == TRIES
    assert [(row.view, row.position, row.kind, row.stream_id) for row in parked(sqlite)] == [
        ("sick", 3, "task-completed.v1", str(RUN)),
        ("sick", 4, "run-completed.v1", str(RUN)),
    ]
    assert parked(sqlite)[0].reason == "LookupError: no idea what that means"
    assert "held back" in parked(sqlite)[1].reason
    assert sqlite.rows.position("sick") == 6
    assert set(view.taken) == {1, 2, 5, 6}
    sqlite.store.append(two_runs_later())
    while projector.step():
        pass
    assert [row.position for row in parked(sqlite)] == [3, 4, 7], "held back in a later batch too"
    assert 8 in view.taken


def two_runs_later() -> list[Sealed]:
    """One more event of each of the two runs."""
    more = told(started(), assigned("a"), completed("a"), e.RunCompleted(output=None),
                assigned("b"))  # fmt: skip
    other = told(started(), completed("a"), assigned("b"), stream=run_of("other"))
    return [more[-1], other[-1]]


def newer(sealed: Sealed) -> Sealed:
    """As an orchestrator of a later version would have written it."""
    return Sealed(
        stream_id=sealed.stream_id, version=sealed.version, kind=f"newer-{sealed.kind}",
        state=sealed.state, digest=sealed.digest,
    )  # fmt: skip


def test_what_newer_code_wrote_is_parked_and_taken_by_newer_code_at_its_start(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = told(started(), assigned("a"), completed("a"), e.RunCompleted(output=1))
    databases.store.append([run[0], run[1], newer(run[2]), run[3]])
    databases.store.append(told(started(), stream=run_of("other")))
    databases.projector(batch_events_max=2).catch_up()
    (row,) = databases.rows.load(RUNS, [(str(RUN),)]).values()
    assert (row.status, row.version) == ("running", 2), "old, and true"
    assert databases.rows.count(RUNS) == 2
    assert retry_parked(databases.rows, by_other_code=True) == [], "the same code knows no more"

    monkeypatch.setitem(e.EVENT_TYPES, newer(run[2]).kind, e.TaskCompleted)
    monkeypatch.setattr("dalsegno_projections.parking.this_code", lambda: "newer")
    monkeypatch.setattr("dalsegno_projections.catalog.this_code", lambda: "newer")
    assert retry_parked(databases.rows, by_other_code=True) == NAMES
    databases.projector(batch_events_max=3).catch_up()
    (row,) = databases.rows.load(RUNS, [(str(RUN),)]).values()
    assert (row.status, row.version, parked(databases)) == ("completed", 4, [])
    retried = databases.digests()
    for name in NAMES:
        databases.projector().rebuild(name)
    assert databases.digests() == retried


@pytest.mark.parametrize("kind", ["\ud800", "nul\x00", "x" * 10_000])
def test_a_reason_that_no_database_would_take_is_parked_all_the_same(
    databases: Databases, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def fail(recorded: Recorded) -> Entry:
        raise LookupError(kind)

    databases.store.append(told(started()))
    monkeypatch.setattr(projecting, "entry_of", fail)
    databases.projector().catch_up()
    assert len(parked(databases)) == len(VIEWS)
    assert positions(databases) == {1}


@pytest.mark.parametrize("reason", ["\ud800", "nul\x00"])
def test_an_unreadable_event_is_passed_by_whatever_its_reason_holds(
    databases: Databases, reason: str
) -> None:
    class Unread:
        def follow(self, *, after: int, limit: int) -> list[Recorded]:
            if after:
                return []
            raise UnreadableEvent(reason, (RUN, 1, reason, 1))

        def newest_position(self) -> int:
            return 1

    Projector(Unread(), databases.rows, VIEWS).catch_up()
    assert len(parked(databases)) == len(VIEWS)
    assert positions(databases) == {1}


async def test_a_fault_that_nobody_foresaw_is_told_and_survived() -> None:
    class Broken:
        failures = 3

        def step(self) -> bool:
            self.failures -= 1
            if self.failures >= 0:
                raise ZeroDivisionError("who would have thought")
            return False

    follower = Follower(Broken(), name="views", backoff_seconds_min=0.001)
    seen: list[str] = []

    def caught_up() -> bool:
        seen.extend([follower.fault] if follower.fault else [])
        return follower.caught_up

    async with asyncio.TaskGroup() as group:
        group.create_task(follower.run())
        await until(caught_up)
        follower.stop()
    assert follower.fault is None


async def test_the_lag_is_a_metric_and_part_of_readiness(sqlite: Databases) -> None:
    later = BEGIN + timedelta(seconds=100)
    away = False

    def lags() -> list[q.ViewLag]:
        if away:
            raise Unavailable("the event store is away")
        return lags_of(sqlite.rows, sqlite.store, NAMES, now=later)

    gauge = LagGauge(lags)
    assert gauge.problems(seconds_max=30.0) != [], "not known yet is not ready"
    sqlite.store.append(told(started(), assigned("a")))
    await gauge.look()
    assert gauge.counts() == {"lag_events_max": 2, "lag_seconds": 100, "events_parked": 0}
    (first, *_) = gauge.problems(seconds_max=30.0)
    assert first == "runs is 100 seconds behind the history (2 events at most)"
    assert gauge.problems(seconds_max=200.0) == []
    sqlite.projector().catch_up()
    await gauge.look()
    assert (gauge.counts()["lag_seconds"], gauge.problems(seconds_max=30.0)) == (0, [])
    away = True
    await gauge.look()
    assert "the event store is away" in gauge.problems(seconds_max=30.0)[0]


def test_the_lag_before_an_event_that_cannot_be_read_is_not_known_in_seconds(
    sqlite: Databases,
) -> None:
    sqlite.store.append([newer(told(started())[0])])
    (lag, *_) = lags_of(sqlite.rows, sqlite.store, NAMES, now=BEGIN)
    assert (lag.events_max, lag.seconds) == (1, None)
