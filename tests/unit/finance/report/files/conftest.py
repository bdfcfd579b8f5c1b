"""A review, and reports made of it and of the analysis by hand."""

import io
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
from pypdf import PdfReader

from dalsegno_agents import TaskContext, offline_context
from dalsegno_agents.gallery.finance.model import (
    Analysis,
    Finding,
    Omission,
    Reference,
    Report,
    ReportTask,
    Review,
    Summary,
)
from dalsegno_agents.gallery.finance.report import report
from dalsegno_agents.gallery.finance.sources import ReportRequest
from dalsegno_agents.gallery.finance.summary.prose import written

APPROVAL = {"by": "C. Board", "comment": "Seen and discussed.", "at": "2026-01-14"}


def build_review() -> Review:
    """Four findings, one critical."""
    findings = (
        Finding(
            id="payment-approval/1",
            rule="payment-approval",
            title="Purchase order without approval",
            severity="critical",
            message="Purchase order PO-DE01-000812 of EUR 143,220.00 has no approval.",
            evidence=(
                Reference(table="purchase_orders", document="PO-DE01-000812", entity="DE01"),
            ),
            amount_cents=14_322_000,
        ),
        Finding(
            id="segregation-of-duties/1",
            rule="segregation-of-duties",
            title="Entered and approved by the same person",
            severity="high",
            message="b.devries entered and approved invoice VI-NL03-000410 of EUR 17,115.20.",
            evidence=(Reference(table="invoices", document="VI-NL03-000410", entity="NL03"),),
            amount_cents=1_711_520,
        ),
        Finding(
            id="personal-data/1",
            rule="personal-data",
            title="Personal data in free text",
            severity="medium",
            message="The text of one ledger entry holds an IBAN (FR•••06).",
            evidence=(Reference(table="ledger", document="MJ-FR02-000066", entity="FR02"),),
        ),
        Finding(
            id="anomalies/1",
            rule="anomalies",
            title="Round amounts",
            severity="low",
            message="6 payments to V5035 are whole thousands.",
        ),
    )
    return Review(
        findings=findings,
        rules=("payment-approval", "segregation-of-duties", "personal-data", "anomalies"),
        omitted=(
            Omission(id="late-postings", label="Late postings", reason="no table `closings`"),
        ),
        critical=1,
        high=1,
        medium=1,
        low=1,
    )


@pytest.fixture(scope="session")
def review() -> Review:
    return build_review()


class Files:
    """A report with the bytes of its files."""

    def __init__(self, made: Report, context: TaskContext[None]) -> None:
        self.report = made
        self.html = context.artifacts.get(made.html).decode()
        self.pdf = context.artifacts.get(made.pdf)
        self.xlsx = context.artifacts.get(made.xlsx)

    @property
    def text(self) -> str:
        """What the PDF says, in one line."""
        pages = (page.extract_text() for page in PdfReader(io.BytesIO(self.pdf)).pages)
        return " ".join(" ".join(pages).split())

    def sheet(self, name: str) -> Any:
        return openpyxl.load_workbook(io.BytesIO(self.xlsx))[name]


Make = Callable[..., Files]
"""Makes a report; the analysis, the review and the approval may be others than the usual ones."""


@pytest.fixture(scope="session")
def make(
    analysis: Analysis,
    review: Review,
    request_of_report: ReportRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Make:
    context = offline_context(None, folder=tmp_path_factory.mktemp("artifacts"))

    def made(
        analysis: Analysis = analysis, review: Review = review, approval: Any = APPROVAL
    ) -> Files:
        text = written(analysis)
        summary = Summary(
            headline=text.headline,
            paragraphs=text.paragraphs,
            cited=text.cited,
            written_by="deterministic",
        )
        task = ReportTask(
            request=request_of_report,
            analysis=analysis,
            summary=summary,
            review=review,
            approval=approval,
        )
        return Files(report(task, context), context)

    return made


@pytest.fixture(scope="session")
def files(make: Make) -> Files:
    return make()
