"""The agent `finance.report`: the finished report as HTML and PDF, with an appendix in xlsx.

Start it with `dalsegno agent dalsegno_agents.gallery.finance.report:agent`. It needs the artifact
store, and neither the sources nor a model. The same input gives the same bytes: the only date in
the files is the last day of the quarter.
"""

import re
import unicodedata
from calendar import monthrange
from datetime import UTC, datetime
from typing import Final

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.model import Report, ReportTask
from dalsegno_agents.gallery.finance.rendering.appendix import xlsx_of
from dalsegno_agents.gallery.finance.rendering.page_html import html_of
from dalsegno_agents.gallery.finance.rendering.page_pdf import pdf_of
from dalsegno_agents.gallery.finance.rendering.report_content import headline_figures, page_of
from dalsegno_agents.gallery.finance.rendering.report_words import approval_of
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface

HTML: Final = "text/html; charset=utf-8"
PDF: Final = "application/pdf"
XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
NAME_CHARS_MAX: Final = 60

agent = Agent(
    "finance-report",
    version="1",
    description="Makes the finished report: HTML, PDF, and a workbook with every figure",
    concurrency=2,
)


@agent.handles("finance.report")
def report(task: ReportTask, context: TaskContext[None]) -> Report:
    """Make the report's three files and return where they are, with the headline figures."""
    analysis = task.analysis
    created = last_day(analysis.period)
    approval = approval_of(task.approval, task.review)
    face = Typeface()
    context.progress(0.1, "putting the report together")
    page = page_of(task, face)
    context.progress(0.3, "writing the HTML file")
    html = html_of(page)
    context.progress(0.5, "writing the PDF file")
    pdf = pdf_of(page, face, created=created)
    context.progress(0.8, "writing the appendix")
    xlsx = xlsx_of(task, approval, created=created)
    name = f"{_file_name(analysis.company)}-{analysis.period}"
    return Report(
        html=context.artifacts.put(html, media_type=HTML, name=f"{name}.html"),
        pdf=context.artifacts.put(pdf, media_type=PDF, name=f"{name}.pdf"),
        xlsx=context.artifacts.put(xlsx, media_type=XLSX, name=f"{name}-appendix.xlsx"),
        headline=task.summary.headline,
        figures=headline_figures(task),
        anomalies=len(analysis.anomalies),
        findings=task.review.findings,
        critical=task.review.critical,
        approved_by=approval.by or None if approval.state == "approved" else None,
    )


def last_day(quarter: str) -> datetime:
    """Noon (UTC) of the last day of a quarter: the date of its report."""
    year, month = int(quarter[:4]), int(quarter[-1]) * 3
    return datetime(year, month, monthrange(year, month)[1], 12, tzinfo=UTC)


def _file_name(company: str) -> str:
    """A company's name in characters that any file system takes."""
    plain = unicodedata.normalize("NFKD", company).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    return name[:NAME_CHARS_MAX].strip("-") or "report"
