"""Several writers, one reader at the end of the history: no event is missed."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from integration.projections.databases import Databases
from unit.projections.story import assigned, completed, run_of, started, told

from dalsegno_orchestrator.store import Store
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.projector import Projector
from dalsegno_projections.storage.rows import Select
from dalsegno_projections.views.audit import AUDIT
from dalsegno_projections.views.runs import RUNS, RunRow

WRITERS = 4
RUNS_EACH = 60
EVENTS = 3


def write(store: Store, writer: int, ready: Barrier) -> None:
    ready.wait()
    for number in range(RUNS_EACH):
        stream = run_of(f"{writer}/{number}")
        for event in told(started(), assigned("a"), completed("a"), stream=stream):
            store.append([event])


@pytest.mark.slow
def test_a_reader_that_follows_several_writers_misses_no_event(databases: Databases) -> None:
    ready = Barrier(WRITERS + 1)
    projector = Projector(databases.open_store(), databases.rows, VIEWS, batch_events_max=50)
    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [
            pool.submit(write, databases.open_store(), writer, ready) for writer in range(WRITERS)
        ]
        ready.wait()
        steps = 0
        while not all(each.done() for each in writing):
            steps += projector.step()
        for each in writing:
            each.result()
    projector.catch_up()
    assert steps > 10, "the reader followed while they wrote"
    assert databases.rows.count(AUDIT) == WRITERS * RUNS_EACH * EVENTS
    assert {row.version for row in _runs(databases)} == {EVENTS}
    before = databases.digests()
    projector.rebuild("runs")
    assert databases.digests() == before


def _runs(databases: Databases) -> list[RunRow]:
    rows = databases.rows.select(RUNS, Select(limit=10_000))
    assert len(rows) == WRITERS * RUNS_EACH
    return rows
