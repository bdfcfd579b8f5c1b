"""Traces as a collector in another process gets them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from integration.tracing.conftest import Collector, until
from unit.projections.story import (
    assigned,
    at,
    child_ended,
    child_started,
    completed,
    failed,
    run_failed,
    run_of,
    started,
    told,
)

from dalsegno_bus import telemetry as t
from dalsegno_bus.errors import Unavailable
from dalsegno_bus.telemetry import FinishedSpan, Tracing, start_tracing
from dalsegno_orchestrator.history import Sealed
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.spans import nanoseconds
from dalsegno_projections.storage.rows import PARKED, Rows, Select
from dalsegno_projections.traces import TRACES, TraceProjector

RUN = run_of("traced")


@pytest.fixture
def tracing(collector: Collector) -> Iterator[Tracing]:
    made = start_tracing(collector.endpoint, "dalsegno-orchestrator")
    assert made is not None
    yield made
    made.shutdown()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path}/store.db", namespace="ds")
    made.ensure_schema()
    yield made
    made.close()


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(f"sqlite:///{tmp_path}/views.db", namespace="ds", views=VIEWS)
    made.ensure_schema()
    yield made
    made.close()


class Kept:
    """An exporter that keeps what it is given, and fails as often as it is told to."""

    def __init__(self, faults: int = 0) -> None:
        self.faults = faults
        self.spans: list[FinishedSpan] = []

    def export(self, spans: Sequence[FinishedSpan]) -> None:
        if self.faults:
            self.faults -= 1
            raise Unavailable("the collector is away")
        self.spans += spans


def a_run(name: str = "traced") -> list[Sealed]:
    return told(
        started(),
        assigned("a"),
        failed("a"),
        assigned("a", 2, "bob"),
        e.ContextShared(task_id="a", attempt=2, agent="bob", key="k", key_version=1),
        completed("a", "x", 2, "bob"),
        run_failed("b"),
        stream=run_of(name),
    )


def follow(projector: TraceProjector) -> None:
    while projector.step():
        pass


async def test_a_collector_gets_a_run_as_one_trace(
    store: Store, rows: Rows, tracing: Tracing, collector: Collector
) -> None:
    store.append(a_run())
    follow(TraceProjector(store, rows, tracing))
    await until(lambda: len(collector.spans) == 3)
    root = collector.named("run story")
    first, second = sorted(
        (span for span in collector.spans if span["name"] == "task a"),
        key=lambda span: span["start_ns"],
    )
    assert {span["trace"] for span in collector.spans} == {RUN.hex}
    assert {span["service"] for span in collector.spans} == {"dalsegno-orchestrator"}
    assert (root["id"], root["parent"]) == (f"{t.run_span_id(RUN):016x}", None)
    assert {first["parent"], second["parent"]} == {root["id"]}
    assert first["id"] == f"{t.attempt_span_id(RUN, 'a', 1):016x}"
    assert second["id"] == f"{t.attempt_span_id(RUN, 'a', 2):016x}"
    times = [(span["start_ns"], span["end_ns"]) for span in (root, first, second)]
    assert times == [
        (nanoseconds(at(begin)), nanoseconds(at(end))) for begin, end in ((0, 6), (1, 2), (3, 5))
    ]
    assert (root["status"], root["message"]) == ("STATUS_CODE_ERROR", "the books are closed")
    assert root["attributes"][t.ERROR_TYPE] == "books.closed"
    assert (first["status"], first["message"]) == ("STATUS_CODE_ERROR", "the books are closed")
    assert second["status"] == "STATUS_CODE_UNSET"
    assert (second["kind"], second["attributes"][t.AGENT]) == ("SPAN_KIND_CLIENT", "bob")
    assert second["attributes"][t.ATTEMPT] == 2
    (event,) = second["events"]
    assert (event["name"], event["at_ns"]) == ("context shared", nanoseconds(at(4)))


async def test_a_collector_gets_the_links_between_a_run_and_that_of_its_sub_workflow(
    store: Store, rows: Rows, tracing: Tracing, collector: Collector
) -> None:
    child = run_of("child")
    begun = started().model_copy(update={"parent": e.Parent(run_id=RUN, task_id="pay", attempt=1)})
    events = (child_started("pay", run=child), child_ended("pay", run=child))
    store.append(told(begun, e.RunCompleted(), stream=child))
    store.append(told(started(), *events, e.RunCompleted(), stream=RUN))
    follow(TraceProjector(store, rows, tracing))
    await until(lambda: len(collector.spans) == 3)
    attempt = collector.named("task pay")
    (root,) = (span for span in collector.spans if span["trace"] == child.hex)
    (down,), (up,) = attempt["links"], root["links"]
    assert (down["trace"], down["id"]) == (child.hex, root["id"])
    assert (up["trace"], up["id"]) == (RUN.hex, attempt["id"])
    assert (down["attributes"][t.LINK], up["attributes"][t.LINK]) == ("child", "parent")
    assert [span["links"] for span in collector.spans if span["name"] == "run story"].count([]) == 1


async def test_a_trace_with_more_spans_than_a_request_holds_arrives_whole(
    store: Store, rows: Rows, tracing: Tracing, collector: Collector
) -> None:
    tasks = [f"t{number}" for number in range(1_300)]
    events = [event for task in tasks for event in (assigned(task), completed(task))]
    store.append(told(started(), *events, e.RunCompleted(), stream=RUN))
    follow(TraceProjector(store, rows, tracing))
    await until(lambda: len(collector.spans) == 1_301)
    assert len({span["id"] for span in collector.spans}) == 1_301


def test_a_run_is_sent_once_when_it_has_ended(store: Store, rows: Rows) -> None:
    exporter = Kept()
    projector = TraceProjector(store, rows, exporter, batch_events_max=2)
    run = a_run()
    store.append(run[:-1])
    follow(projector)
    assert exporter.spans == []
    store.append(run[-1:])
    follow(projector)
    assert len(exporter.spans) == 3
    follow(TraceProjector(store, rows, exporter))
    assert len(exporter.spans) == 3
    assert rows.position(TRACES) == store.newest_position()


def test_what_the_collector_did_not_take_is_sent_again(store: Store, rows: Rows) -> None:
    exporter = Kept(faults=1)
    projector = TraceProjector(store, rows, exporter)
    store.append([*a_run("x"), *a_run("y")])
    with pytest.raises(Unavailable):
        projector.step()
    assert rows.position(TRACES) == 0
    follow(projector)
    assert {span.trace_id for span in exporter.spans} == {run_of("x").int, run_of("y").int}


def test_a_run_that_cannot_be_read_is_parked_and_the_next_is_sent(store: Store, rows: Rows) -> None:
    exporter = Kept()
    bad = a_run("x")
    unknown = Sealed(
        stream_id=bad[2].stream_id, version=3, kind="dream.v9", state=b"{}", digest=b""
    )
    store.append([*bad[:2], unknown, *bad[3:], *a_run("y")])
    follow(TraceProjector(store, rows, exporter))
    assert {span.trace_id for span in exporter.spans} == {run_of("y").int}
    parked = rows.select(PARKED, Select(equal={"view": TRACES}))
    assert [(row.position, row.kind) for row in parked] == [
        (3, "dream.v9"),
        (7, "run-failed.v1"),
    ]
    assert "dream.v9" in parked[1].reason
