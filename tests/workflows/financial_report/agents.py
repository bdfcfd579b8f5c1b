from typing import Any

from pydantic import BaseModel

from dalsegno_agents import TaskContext
from support.cast import Cast

cast = Cast()


class Source(BaseModel):
    source: str


class Table(BaseModel):
    source: str
    rows: int


class Tables(BaseModel):
    tables: list[Table]


class Analysis(BaseModel):
    rows: int
    anomalies: list[str]


class Analyzed(BaseModel):
    analysis: Analysis


@cast.handles("finance.gather", by=("ada",))
def gather(source: Source, context: TaskContext[str]) -> Table:
    return Table(source=source.source, rows=100 * len(source.source))


@cast.handles("finance.analyze", by=("ada", "bob", "cyd"))
def analyze(tables: Tables, context: TaskContext[str]) -> Analysis:
    odd = [table.source for table in tables.tables if table.rows > 500]
    return Analysis(rows=sum(table.rows for table in tables.tables), anomalies=odd)


@cast.handles("finance.report", by=("cyd",))
def report(analyzed: Analyzed, context: TaskContext[str]) -> dict[str, Any]:
    analysis = analyzed.analysis
    return {"title": f"{analysis.rows} rows", "odd": analysis.anomalies}


@cast.handles("finance.plain_report", by=("cyd",))
def plain_report(analyzed: Analyzed, context: TaskContext[str]) -> dict[str, Any]:
    return {"title": "plain", "odd": analyzed.analysis.anomalies}
