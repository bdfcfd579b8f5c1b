"""The finished report: what stands in its three files, and that they need nothing else."""

import io
import re
from html.parser import HTMLParser
from typing import Any

import openpyxl
import pytest
from pypdf import PdfReader

from dalsegno_agents.gallery.finance.analysis.kpis import evaluated
from dalsegno_agents.gallery.finance.model import Analysis, Review
from dalsegno_agents.gallery.finance.rendering.pdf_sheet import MARGIN
from dalsegno_agents.gallery.finance.rendering.report_words import approval_of, short_names, signed
from dalsegno_agents.gallery.finance.report import agent

APPROVAL = {"by": "C. Board", "comment": "Seen and discussed.", "at": "2026-01-14"}
VOID = frozenset({"meta", "br", "col", "img", "link", "hr", "input"})
EMPTY: dict[str, Any] = {
    "figures": (),
    "trends": (),
    "anomalies": (),
    "checks": (),
    "reconciliations": (),
    "differences": (),
    "series": (),
}


# --- what the workflow gets -----------------------------------------------------------------------


def test_the_report_names_its_files_and_headline_figures(files: Any) -> None:
    made = files.report
    assert [one.name for one in (made.html, made.pdf, made.xlsx)] == [
        "fermata-instruments-group-2025-Q4.html",
        "fermata-instruments-group-2025-Q4.pdf",
        "fermata-instruments-group-2025-Q4-appendix.xlsx",
    ]
    assert made.pdf.media_type == "application/pdf"
    assert [one.kpi for one in made.figures][:2] == ["revenue", "gross_margin"]
    assert (made.critical, made.anomalies, made.approved_by) == (1, 9, "C. Board")


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(make: Any, files: Any) -> None:
    assert make().report == files.report


# --- HTML -----------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Checks that every element is closed in order, and keeps what would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "data"}:
                self.loads.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline_of(html: str) -> Outline:
    outline = Outline()
    outline.feed(html)
    outline.close()
    return outline


def test_the_html_is_well_formed(files: Any) -> None:
    outline = outline_of(files.html)
    assert outline.open == []
    assert {"h1", "h2", "table", "svg", "figure", "nav"} <= outline.tags


def test_the_html_loads_nothing_and_runs_nothing(files: Any) -> None:
    outline = outline_of(files.html)
    assert all(load.startswith("#") for load in outline.loads)
    assert "script" not in outline.tags
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", files.html))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert set(re.findall(r"url\((?!data:)", files.html)) == set()


def test_links_within_the_html_lead_somewhere(files: Any) -> None:
    for target in outline_of(files.html).loads:
        assert f'id="{target[1:]}"' in files.html


@pytest.mark.slow
def test_the_html_says_what_a_board_asks(files: Any) -> None:
    plain = files.html.replace("\u00a0", " ")
    for text in (
        "Quarterly financial report Q4 2025",
        "As of 31 December 2025",
        "EUR 8.07 m",
        "Approved by C. Board on 2026-01-14",
        "Seen and discussed.",
        "Revenue of the group",
        "Operating margin by entity",
        "Revenue against budget",
        "(outside_revenue - budget_revenue) / budget_revenue",
        "Rules that could not be applied",
    ):
        assert text in plain
    for finding in files.report.findings:
        assert finding.title in plain
    assert 'class="chip critical"' in plain


@pytest.mark.slow
def test_what_the_books_say_cannot_become_markup(
    analysis: Analysis,
    make: Any,
) -> None:
    evil = "<script>alert('x')</script> =1+1 \x01 \ud800"
    told = analysis.anomalies[0].model_copy(update={"explanation": evil, "entity": evil})
    hurt = analysis.model_copy(update={"anomalies": (told,), "company": "<b>A&B</b>"})
    made = make(hurt, approval={"by": "<i>me</i>"})
    outline = outline_of(made.html)
    assert outline.open == []
    assert not {"script", "i", "td b"} & outline.tags
    assert "&lt;b&gt;A&amp;B&lt;/b&gt;" in made.html
    assert len(PdfReader(io.BytesIO(made.pdf)).pages) > 3
    assert made.sheet("Anomalies")["D2"].value.startswith("<script>")


# --- PDF ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_pdf_says_the_same_as_the_html(files: Any) -> None:
    text = files.text
    for part in (
        "Quarterly financial report Q4 2025",
        "EUR 8.07 m",
        "EUR 1.79 m",
        "Approved by C. Board",
        "Key figures of Q4 2025",
        "First, hold further payments to V9033",
        "Unknown counterparty",
        "Formulas of the group's figures",
    ):
        assert part in text
    for finding in files.report.findings:
        assert finding.title in text


def test_every_page_of_the_pdf_is_numbered(files: Any) -> None:
    pages = PdfReader(io.BytesIO(files.pdf)).pages
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page.extract_text()


def test_the_pdf_has_a_title_an_outline_and_a_fixed_date(files: Any) -> None:
    reader = PdfReader(io.BytesIO(files.pdf))
    assert reader.metadata is not None
    assert reader.metadata.title == (
        "Quarterly financial report Q4 2025, Fermata Instruments Group"
    )
    assert str(reader.metadata.get("/CreationDate")).startswith("D:20251231120000")
    titles = [one.title for one in reader.outline if not isinstance(one, list)]
    assert titles[0] == "Executive summary"
    assert len(titles) == 8


def test_no_text_of_the_pdf_leaves_the_margins(files: Any) -> None:
    for page in PdfReader(io.BytesIO(files.pdf)).pages:
        places: list[tuple[float, float]] = []

        def note(text: str, _: Any, matrix: list[float], *__: Any) -> None:
            if text.strip():
                places.append((matrix[4], matrix[5]))  # noqa: B023  # called at once

        page.extract_text(visitor_text=note)
        assert places
        assert all(MARGIN - 0.5 <= x <= 595.3 - MARGIN for x, _ in places)
        assert all(20 <= y <= 842 - 20 for _, y in places)


@pytest.mark.slow
def test_a_table_over_several_pages_repeats_its_head(
    analysis: Analysis,
    make: Any,
) -> None:
    many = analysis.model_copy(update={"anomalies": analysis.anomalies * 4})
    made = make(many)
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(made.pdf)).pages]
    assert sum("At stake" in page for page in pages) >= 3


# --- xlsx -----------------------------------------------------------------------------------------


def test_the_appendix_has_its_sheets_with_frozen_heads(files: Any) -> None:
    book = openpyxl.load_workbook(io.BytesIO(files.xlsx))
    assert book.sheetnames == [
        "Summary",
        "Figures",
        "Trends",
        "Anomalies",
        "Findings",
        "Reconciliation",
        "Differences",
        "Tests",
    ]
    assert all(str(sheet.freeze_panes).endswith("2") for sheet in book)
    assert book["Figures"].column_dimensions["A"].width > 20


def test_every_figure_is_a_formula_over_its_inputs(files: Any, analysis: Analysis) -> None:
    formulas, values = (
        openpyxl.load_workbook(io.BytesIO(files.xlsx), data_only=data)["Figures"]
        for data in (False, True)
    )
    assert formulas.max_row == len(analysis.figures) + 1
    for row, figure in enumerate(analysis.figures, 2):
        formula = str(formulas.cell(row, 5).value)
        assert formula.startswith("=")
        cells: dict[str, Any] = {
            formulas.cell(row, column + 1).coordinate: formulas.cell(row, column + 1).value
            for column in range(8, 8 + 2 * len(figure.inputs), 2)
        }
        expected = figure.value / 100 if figure.unit == "cents" else figure.value
        assert values.cell(row, 5).value == pytest.approx(expected)
        assert evaluated(formula[1:], cells) == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_a_formula_that_is_no_arithmetic_is_left_as_text(
    analysis: Analysis,
    make: Any,
) -> None:
    figure = analysis.figures[0].model_copy(update={"formula": '=HYPERLINK("x")'})
    odd = analysis.model_copy(update={"figures": (figure,)})
    sheet = make(odd).sheet("Figures")
    assert sheet["E2"].value == figure.value / 100
    assert sheet["G2"].data_type == "s"


def test_numbers_of_the_appendix_are_numbers_with_formats(files: Any) -> None:
    findings = files.sheet("Findings")
    assert findings["E2"].value == 143_220.0
    assert findings["E2"].number_format.startswith("#,##0.00")
    assert "PO-DE01-000812" in findings["G2"].value
    assert files.sheet("Reconciliation")["C2"].value == 18_244


# --- what may be missing or odd -------------------------------------------------------------------


@pytest.mark.slow
def test_books_without_figures_still_make_a_report(analysis: Analysis, make: Any) -> None:
    bare = analysis.model_copy(update=EMPTY)
    clean = Review(findings=(), rules=(), critical=0)
    made = make(bare, clean, None)
    assert "No critical findings" in made.html
    assert "The tests of the books found nothing." in made.text
    assert made.report.figures == ()
    assert made.report.approved_by is None


@pytest.mark.slow
def test_long_names_and_many_entities_fit(
    analysis: Analysis,
    make: Any,
) -> None:
    names = tuple(f"Handelsgesellschaft Nummer {number} mbH" for number in range(9))
    figures = [
        one.model_copy(update={"id": f"{one.kpi}/{name}/{one.period}", "entity": name})
        for name in names
        for one in analysis.figures
        if one.entity == "DE01"
    ]
    coverage = analysis.coverage.model_copy(update={"entities": names})
    group = [one for one in analysis.figures if one.entity == "group"]
    wide = analysis.model_copy(update={"figures": (*group, *figures), "coverage": coverage})
    made = make(wide)
    assert "The 5 largest entities are shown" in made.text
    assert made.sheet("Figures").max_row == len(wide.figures) + 1


@pytest.mark.parametrize(
    ("signal", "state", "by"),
    [
        (None, "missing", ""),
        (APPROVAL, "approved", "C. Board"),
        ({"by": "C. Board", "approved": False}, "refused", "C. Board"),
        ("fine", "approved", ""),
        ({}, "approved", ""),
    ],
)
def test_an_approval_is_read_from_its_signal(
    review: Review, signal: Any, state: str, by: str
) -> None:
    found = approval_of(signal, review)
    assert (found.state, found.by) == (state, by)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal", "told"),
    [
        (None, "No approval on record"),
        ({"by": "C. Board", "approved": False}, "Approval refused by C. Board"),
    ],
)
def test_a_report_without_approval_says_so_on_top(
    analysis: Analysis,
    make: Any,
    signal: Any,
    told: str,
) -> None:
    made = make(analysis, approval=signal)
    assert told in made.html
    assert told in made.text
    assert made.report.approved_by is None


def test_short_names_stay_different() -> None:
    names = short_names(["Handelsgesellschaft eins", "Handelsgesellschaft zwei", "DE01"])
    assert names["DE01"] == "DE01"
    assert len(set(names.values())) == len(names)
    assert all(len(name) <= 16 for name in names.values())


def test_a_change_that_rounds_to_nothing_has_no_sign() -> None:
    assert [signed(one) for one in (-0.04, 0.04, 1.25, -3.21)] == ["0.0", "0.0", "+1.2", "-3.2"]


def test_the_agent_offers_one_capability() -> None:
    assert [one.name for one in agent.card.capabilities] == ["finance.report"]
