from dataclasses import dataclass

import pytest
from integration.projections.databases import Databases

from dalsegno_bus.errors import SettingsError, Unavailable
from dalsegno_projections.catalog import VIEWS
from dalsegno_projections.storage.rows import (
    PARKED,
    Advance,
    ParkedRow,
    PositionMoved,
    Rows,
    RowsRejected,
    Select,
)
from dalsegno_projections.views.agents import AGENTS, AgentRow
from dalsegno_projections.views.runs import RUNS, RunRow
from dalsegno_projections.views.table import Row, Table
from dalsegno_projections.views.values import changed

RUN = RunRow(
    run_id="0190a1b2-0000-7000-8000-000000000001",
    workflow="w",
    workflow_version=1,
    status="running",
    started_at="2026-01-01T00:00:00.000000+00:00",
    changed_at="2026-01-01T00:00:00.000000+00:00",
    started_by="client:ünïcödé ☃",
    version=3,
    tasks={"assigned": 2, "completed": 1},
    waiting_for={},
    waiting_before={},
    labels='{"team":"eu"}',
    input='{"a":1}',
    input_bytes=7,
    usd=0.1 + 0.2,
    tokens=2**62,
)


def run(number: int) -> RunRow:
    return changed(RUN, run_id=f"0190a1b2-0000-7000-8000-{number:012d}", version=number)


def advance(before: int, after: int, *rows: RunRow) -> Advance:
    return Advance(view="runs", before=before, after=after, rows=[(RUNS, rows)])


def test_a_row_comes_back_as_it_was_written(databases: Databases) -> None:
    databases.rows.write([advance(0, 5, RUN)])
    assert databases.rows.load(RUNS, [(RUN.run_id,), ("nobody",)]) == {(RUN.run_id,): RUN}
    assert databases.rows.position("runs") == 5


def test_a_row_with_the_same_key_is_replaced(databases: Databases) -> None:
    databases.rows.write([advance(0, 5, RUN)])
    databases.rows.write([advance(5, 6, changed(RUN, status="completed", ended_at="now"))])
    (row,) = databases.rows.select(RUNS, Select())
    assert (row.status, row.ended_at) == ("completed", "now")


def test_many_rows_are_written_and_found_by_their_keys(databases: Databases) -> None:
    rows = [run(number) for number in range(7_000)]
    databases.rows.write([advance(0, 5, *rows)])
    found = databases.rows.load(RUNS, [(row.run_id,) for row in rows])
    assert list(found.values()) == rows


def test_a_position_moves_only_from_where_it_is(databases: Databases) -> None:
    databases.rows.write([advance(0, 5, RUN)])
    with pytest.raises(PositionMoved):
        databases.rows.write([advance(0, 9, run(2))])
    assert databases.rows.position("runs") == 5
    assert databases.rows.count(RUNS) == 1


def test_nothing_is_written_when_one_view_cannot_be(databases: Databases) -> None:
    agents = Advance(view="agents", before=7, after=9, rows=[(AGENTS, [AgentRow(agent="ann")])])
    with pytest.raises(PositionMoved):
        databases.rows.write([advance(0, 5, RUN), agents])
    assert (databases.rows.position("runs"), databases.rows.count(RUNS)) == (0, 0)


def test_a_value_that_no_database_takes_is_rejected_and_nothing_written(
    databases: Databases,
) -> None:
    with pytest.raises(RowsRejected):
        databases.rows.write([advance(0, 5, run(2), changed(RUN, tokens=2**70))])
    assert (databases.rows.position("runs"), databases.rows.count(RUNS)) == (0, 0)


def test_a_reset_drops_rows_parked_events_and_position_of_one_view(databases: Databases) -> None:
    agents = Advance(view="agents", before=0, after=9, rows=[(AGENTS, [AgentRow(agent="ann")])])
    parked = [
        ParkedRow(
            view=view, position=3, stream_id="s", version=1, kind="k", reason="r", parked_by="c"
        )
        for view in ("runs", "agents")
    ]
    databases.rows.write([advance(0, 5, RUN), agents], parked)
    databases.rows.reset("runs")
    assert (databases.rows.position("runs"), databases.rows.count(RUNS)) == (0, 0)
    assert [row.view for row in databases.rows.select(PARKED, Select())] == ["agents"]
    assert (databases.rows.position("agents"), databases.rows.count(AGENTS)) == (9, 1)
    databases.rows.write([advance(0, 5, RUN)])


def test_rows_are_selected_by_all_kinds_of_conditions(databases: Databases) -> None:
    rows = [
        changed(run(number), workflow="w" if number % 2 else "v", labels=f'{{"n":"{number}"}}')
        for number in range(1, 8)
    ]
    databases.rows.write([advance(0, 5, *rows)])

    def versions(select: Select) -> list[int]:
        return [row.version for row in databases.rows.select(RUNS, select)]

    assert versions(Select(equal={"workflow": "w"})) == [1, 3, 5, 7]
    assert versions(Select(above={"version": 5})) == [6, 7]
    assert versions(Select(contains={"labels": ['"n":"4"']})) == [4]
    assert versions(Select(contains={"labels": ['"N":"4"']})) == []
    assert versions(Select(prefix={"run_id": "0190a1b2-0000-7000-8000-00000000000"}, limit=2)) == [
        1,
        2,
    ]
    assert versions(Select(prefix={"run_id": "0190a1b3"})) == []
    assert versions(Select(order=("version",), descending=True, limit=3, offset=1)) == [6, 5, 4]
    assert databases.rows.count(RUNS, Select(equal={"workflow": "v"}, limit=1)) == 3


def test_a_dump_is_in_the_order_of_the_keys_byte_by_byte(databases: Databases) -> None:
    names = ["b", "a-1", "a1", "B", "a_1", "é", "z"]
    rows = [AgentRow(agent=name) for name in names]
    databases.rows.write([Advance(view="agents", before=0, after=1, rows=[(AGENTS, rows)])])
    dumped = [line.split(b'"')[1].decode() for line in databases.rows.dump(AGENTS)]
    assert dumped == sorted(names, key=str.encode)


def test_creating_the_tables_twice_changes_nothing(databases: Databases) -> None:
    databases.rows.write([advance(0, 5, RUN)])
    databases.open_rows().ensure_schema()
    assert (databases.rows.position("runs"), databases.rows.count(RUNS)) == (5, 1)


def test_a_view_with_other_columns_begins_again(databases: Databases) -> None:
    @dataclass(frozen=True, kw_only=True)
    class OtherRow:
        run_id: str
        colour: str

    class OtherView:
        name = "runs"
        events_stand_alone = False
        tables = (Table("runs", OtherRow, ("run_id",)),)

        def touches(self, entry: object) -> tuple[()]:
            return ()

        def apply(self, found: object, entry: object) -> tuple[()]:
            return ()

    databases.rows.write([advance(0, 5, RUN)])
    other = Rows(databases.views_url, namespace=databases.namespace, views=[OtherView()])
    databases.opened.callback(other.close)
    other.ensure_schema()
    assert (other.position("runs"), other.count(OtherView.tables[0])) == (0, 0)
    row: Row = OtherRow(run_id="r", colour="red")
    other.write([Advance(view="runs", before=0, after=1, rows=[(OtherView.tables[0], [row])])])


def test_two_namespaces_do_not_meet(databases: Databases) -> None:
    other = Rows(databases.views_url, namespace=f"{databases.namespace}-x", views=VIEWS)
    databases.opened.callback(other.close)
    other.ensure_schema()
    databases.rows.write([advance(0, 5, RUN)])
    assert (other.position("runs"), other.count(RUNS)) == (0, 0)


@pytest.mark.slow
def test_a_database_that_is_away_is_said_to_be_without_its_password() -> None:
    rows = Rows("postgresql://me:secret@127.0.0.1:1/none", namespace="ds", views=VIEWS)
    with pytest.raises(Unavailable) as failed:
        rows.position("runs")
    assert "secret" not in str(failed.value)
    rows.close()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "sqlite:///", "nonsense"])
def test_a_url_of_no_known_kind_is_a_setting_to_mend(url: str) -> None:
    with pytest.raises(SettingsError, match="DALSEGNO_VIEWS_URL"):
        Rows(url, namespace="ds", views=VIEWS)
