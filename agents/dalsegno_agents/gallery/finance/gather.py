"""The agent `finance.gather`: reads sources, brings them to one shape, reconciles them.

Start it with `dalsegno agent dalsegno_agents.gallery.finance.gather:agent`. It needs to reach the
sources (files, databases) and the artifact store, and nothing else.
"""

from collections.abc import Callable

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.model import (
    Books,
    Gathered,
    GatherRequest,
    ReconcileRequest,
    Table,
)
from dalsegno_agents.gallery.finance.reading.raw import RawTable
from dalsegno_agents.gallery.finance.reading.read_files import read_file
from dalsegno_agents.gallery.finance.reading.read_sql import Database
from dalsegno_agents.gallery.finance.reading.reconcile import reconciled
from dalsegno_agents.gallery.finance.reading.shape import check_mapping, shaped
from dalsegno_agents.gallery.finance.sources import TABLES, Source, TableSource
from dalsegno_agents.gallery.finance.tables import write_table

agent = Agent(
    "finance-gather",
    version="1",
    description="Reads books from databases, workbooks and csv files, and reconciles them",
    concurrency=4,
)


@agent.handles("finance.gather")
def gather(request: GatherRequest, context: TaskContext[None]) -> Gathered:
    """Read one source and bring its tables to the documented shape.

    Raises:
        TaskRejected: The source is not as described; names file, sheet, row, column or host.
        TaskRetry: Its database cannot be reached now.
    """
    source = request.source
    for table in source.tables:
        check_mapping(table, source)
    if source.kind == "sql":
        with Database(source) as database:
            return _gathered(source, database.location, database.read, context)
    return _gathered(source, source.path or "", lambda table: read_file(source, table), context)


@agent.handles("finance.reconcile")
def reconcile(request: ReconcileRequest, context: TaskContext[None]) -> Books:
    """Put all sources together and compare those that should agree.

    Raises:
        TaskRejected: There is nothing to report on, or the tables contradict one another.
    """
    return reconciled(request.gathered, context)


def _gathered(
    source: Source,
    location: str,
    read: Callable[[TableSource], RawTable],
    context: TaskContext[None],
) -> Gathered:
    tables: list[Table] = []
    for position, table in enumerate(source.tables):
        context.progress(position / len(source.tables), f"{source.name}: reading {table.role}")
        frame = shaped(read(table), table, source)
        if source.kind == "sql":  # a database owes us no order, and equal rows make equal artifacts
            frame = frame.sort(frame.columns)
        given = {*table.columns, *(("period", "amount") if table.unpivot else ())}
        tables.append(
            write_table(
                frame,
                role=table.role,
                sources=[source.name],
                columns=[shape.column for shape in TABLES[table.role] if shape.name in given],
                sign=table.sign,
                context=context,
            )
        )
    rows = sum(table.rows for table in tables)
    context.progress(1.0, f"{source.name}: {rows:,} rows in {len(tables)} tables")
    return Gathered(source=source.name, kind=source.kind, location=location, tables=tuple(tables))
