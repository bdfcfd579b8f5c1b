"""The report's appendix: a workbook with every figure, its formula, its inputs, and all findings.

Each value of a figure is a live formula over its
inputs, so that a reader can follow it; text is always written as text, whatever it begins with.
"""

import io
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import xlsxwriter  # pyright: ignore[reportMissingTypeStubs]  # it has none
from xlsxwriter.utility import (  # pyright: ignore[reportMissingTypeStubs]
    xl_rowcol_to_cell,
)

from dalsegno_agents.gallery.finance.analysis.kpis import evaluated
from dalsegno_agents.gallery.finance.model import Figure, Reference, ReportTask
from dalsegno_agents.gallery.finance.rendering.report_words import Approval, entity_name
from dalsegno_agents.gallery.finance.rendering.workbook import Cell, Field, Sheets, plain
from dalsegno_agents.gallery.finance.summary.facts import KIND_NAMES
from dalsegno_agents.gallery.finance.units import Unit

FORMULA_INPUTS_AT: Final = 7
"""The column of a figure's first input, from 0."""
_ARITHMETIC: Final = re.compile(r"[\w\s.+\-*/()]+")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


def xlsx_of(task: ReportTask, approval: Approval, *, created: datetime) -> bytes:
    """The workbook; the same bytes for the same task and date."""
    body = io.BytesIO()
    book: Any = xlsxwriter.Workbook(
        body, {"in_memory": True, "strings_to_urls": False, "strings_to_formulas": False}
    )
    book.set_properties(
        {
            "title": f"Appendix to the financial report {task.analysis.period}",
            "company": plain(task.analysis.company),
            "created": created.replace(tzinfo=None),
        }
    )
    sheets = Sheets(book)
    _summary(sheets, task, approval)
    _figures(sheets, task)
    _trends(sheets, task)
    _anomalies(sheets, task)
    _findings(sheets, task)
    _reconciliation(sheets, task)
    _checks(sheets, task)
    book.close()
    return body.getvalue()


def _summary(sheets: Sheets, task: ReportTask, approval: Approval) -> None:
    analysis, review = task.analysis, task.review
    rows = [
        ("Company", analysis.company),
        ("Quarter", analysis.period),
        ("Currency of all amounts", analysis.currency),
        ("Headline", task.summary.headline),
        *(("Summary", text) for text in task.summary.paragraphs),
        ("Written by", task.summary.written_by),
        ("Anomalies", str(len(analysis.anomalies))),
        ("Findings", f"{len(review.findings)}, of which {review.critical} critical"),
        ("Approval", approval.state),
        ("Approved by", approval.by),
        ("Approved at", approval.at),
        ("Comment", approval.comment),
        *(("Could not be computed", f"{one.label}: {one.reason}") for one in analysis.omitted),
        *(("Rule not applied", f"{one.label}: {one.reason}") for one in review.omitted),
    ]
    sheets.table("Summary", (("What", 26), ("Value", 110)), rows)


def _figures(sheets: Sheets, task: ReportTask) -> None:
    figures = task.analysis.figures
    inputs_max = max((len(figure.inputs) for figure in figures), default=0)
    pairs = [(f"Input {n + 1}", 24.0) for n in range(inputs_max)]
    heads: list[tuple[str, float]] = [
        ("Id", 36),
        ("Figure", 32),
        ("Entity", 10),
        ("Quarter", 10),
        ("Value", 17),
        ("Unit", 8),
        ("Formula", 60),
    ]
    for title, width in pairs:
        heads.extend(((title, width), ("Value", 17)))
    sheet = sheets.table("Figures", heads, map(_figure_row, figures), frozen_columns=2)
    for row, figure in enumerate(figures, 1):
        formula = _formula(figure, row)
        value = figure.value / 100 if figure.unit == "cents" else figure.value
        if formula:
            sheet.write_formula(row, 4, formula, sheets.formats[figure.unit], value)


def _figure_row(figure: Figure) -> list[Field]:
    row: list[Field] = [
        figure.id,
        figure.label,
        entity_name(figure.entity),
        figure.period,
        Cell(value=figure.value, unit=figure.unit),
        "" if figure.unit == "cents" else figure.unit,
        figure.formula,
    ]
    for name, value in figure.inputs.items():
        row.extend((name, Cell(value=value, unit=_unit(name))))
    return row


def _unit(name: str) -> Unit:
    return "cents" if name.endswith("_cents") else "count"


def _formula(figure: Figure, row: int) -> str:
    """The figure's formula over the cells of its inputs; empty where it is no plain arithmetic.

    Amounts stand in whole units in the sheet, so the formula must give the same in these.
    """
    if not _ARITHMETIC.fullmatch(figure.formula):
        return ""
    cells: Mapping[str, str] = {
        name: xl_rowcol_to_cell(row, FORMULA_INPUTS_AT + 1 + 2 * position)
        for position, name in enumerate(figure.inputs)
    }
    scaled = {
        name: value / 100 if _unit(name) == "cents" else value
        for name, value in figure.inputs.items()
    }
    expected = figure.value / 100 if figure.unit == "cents" else figure.value
    try:
        given = evaluated(figure.formula, scaled)
    except (ArithmeticError, KeyError, SyntaxError, ValueError):
        return ""
    if abs(given - expected) > 1e-5 * max(1.0, abs(expected)):
        return ""
    return f"={_NAME.sub(lambda name: cells[name[0]], figure.formula)}"


def _trends(sheets: Sheets, task: ReportTask) -> None:
    sheets.table(
        "Trends",
        (
            ("Id", 40),
            ("Figure", 32),
            ("Entity", 10),
            ("Quarter", 10),
            ("Value", 17),
            ("Against", 10),
            ("Earlier value", 17),
            ("Change", 17),
            ("Relative change", 14),
        ),
        (
            (
                one.id,
                one.label,
                entity_name(one.entity),
                one.period,
                Cell(value=one.value, unit=one.unit),
                one.previous_period,
                Cell(value=one.previous, unit=one.unit),
                Cell(value=one.change, unit=one.unit),
                Cell(value=one.change_ratio, unit="ratio"),
            )
            for one in task.analysis.trends
        ),
        frozen_columns=2,
    )


def _anomalies(sheets: Sheets, task: ReportTask) -> None:
    sheets.table(
        "Anomalies",
        (
            ("Id", 24),
            ("Severity", 10),
            ("Kind", 22),
            ("Entity", 10),
            ("Period", 10),
            ("At stake", 17),
            ("Explanation", 80),
            ("Test", 22),
            ("Evidence", 60),
        ),
        (
            (
                one.id,
                one.severity,
                KIND_NAMES[one.kind],
                one.entity,
                one.period,
                Cell(value=one.amount_cents),
                one.explanation,
                one.method,
                _evidence(one.evidence),
            )
            for one in task.analysis.anomalies
        ),
        frozen_columns=1,
    )


def _findings(sheets: Sheets, task: ReportTask) -> None:
    sheets.table(
        "Findings",
        (
            ("Id", 26),
            ("Severity", 10),
            ("Rule", 24),
            ("Title", 34),
            ("Amount", 17),
            ("Finding", 80),
            ("Evidence", 60),
        ),
        (
            (
                one.id,
                one.severity,
                one.rule,
                one.title,
                Cell(value=one.amount_cents),
                one.message,
                _evidence(one.evidence),
            )
            for one in task.review.findings
        ),
        frozen_columns=1,
    )


def _evidence(references: Iterable[Reference]) -> str:
    return "; ".join(
        " ".join(value for value in reference.model_dump().values() if value)
        for reference in references
    )


def _reconciliation(sheets: Sheets, task: ReportTask) -> None:
    analysis = task.analysis
    sheets.table(
        "Reconciliation",
        (
            ("Check", 22),
            ("Comparison", 46),
            ("Compared", 12),
            ("Differences", 12),
            ("Left", 19),
            ("Right", 19),
            ("Note", 50),
        ),
        (
            (
                one.check,
                one.label,
                Cell(value=one.compared, unit="count"),
                Cell(value=one.differences, unit="count"),
                Cell(value=one.left_cents),
                Cell(value=one.right_cents),
                one.note,
            )
            for one in analysis.reconciliations
        ),
    )
    sheets.table(
        "Differences",
        (
            ("Check", 22),
            ("Entity", 10),
            ("Period", 10),
            ("Account", 12),
            ("Document", 22),
            ("Left", 17),
            ("is in", 14),
            ("Right", 17),
            ("is in", 14),
            ("Difference", 17),
            ("Sources", 30),
        ),
        (
            (
                one.check,
                one.entity,
                one.period,
                one.account,
                one.document,
                Cell(value=one.left_cents),
                one.left,
                Cell(value=one.right_cents),
                one.right,
                Cell(value=one.amount_cents),
                ", ".join(one.sources),
            )
            for one in analysis.differences
        ),
    )


def _checks(sheets: Sheets, task: ReportTask) -> None:
    sheets.table(
        "Tests",
        (
            ("Id", 22),
            ("Test", 34),
            ("Examined", 12),
            ("Anomalies", 12),
            ("Result", 60),
            ("Method", 80),
        ),
        (
            (
                one.id,
                one.label,
                Cell(value=one.examined, unit="count"),
                Cell(value=one.anomalies, unit="count"),
                one.result,
                one.method,
            )
            for one in task.analysis.checks
        ),
    )
