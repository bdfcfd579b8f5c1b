"""Review, summary and report of the demo company's books, with what is planted and without."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from dalsegno.demo.books_planted import missed_by_review
from dalsegno.demo.company import DemoBooks, make_books
from dalsegno_agents import offline_context
from dalsegno_agents.gallery.finance.analyze import analyze
from dalsegno_agents.gallery.finance.gather import gather, reconcile
from dalsegno_agents.gallery.finance.model import (
    Analysis,
    AnalyzeRequest,
    GatherRequest,
    ReconcileRequest,
    ReportTask,
    Review,
    ReviewRequest,
    SummarizeRequest,
)
from dalsegno_agents.gallery.finance.report import report
from dalsegno_agents.gallery.finance.review import review
from dalsegno_agents.gallery.finance.sources import ReportRequest
from dalsegno_agents.gallery.finance.summarize import ModelChoice, summarize
from dalsegno_agents.gallery.finance.summary.known import Known

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What the agents made of the demo books."""

    books: DemoBooks
    request: ReportRequest
    analysis: Analysis
    review: Review


def _chain(folder: Path, *, planted: bool) -> Chain:
    books = make_books(folder / "books", planted=planted)
    context = offline_context(None, folder=folder / "artifacts")
    request = ReportRequest.model_validate(books.request)
    gathered = tuple(gather(GatherRequest(source=one), context) for one in request.sources)
    together = reconcile(ReconcileRequest(request=request, gathered=gathered), context)
    analysis = analyze(AnalyzeRequest(request=request, books=together), context)
    asked = ReviewRequest(request=request, books=together, analysis=analysis)
    return Chain(books=books, request=request, analysis=analysis, review=review(asked, context))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return _chain(tmp_path_factory.mktemp("planted"), planted=True)


def test_the_review_finds_everything_that_is_planted_for_it(chain: Chain) -> None:
    assert missed_by_review(chain.review.findings, chain.books.planted) == ()
    assert chain.review.critical > 0


def test_books_in_order_have_no_finding(tmp_path: Path) -> None:
    assert _chain(tmp_path, planted=False).review.findings == ()


async def test_the_summary_holds_and_the_report_is_made(chain: Chain, tmp_path: Path) -> None:
    def no_model() -> None:
        return None

    choice: ModelChoice = no_model
    summary = await summarize(
        SummarizeRequest(request=chain.request, analysis=chain.analysis),
        offline_context(choice, folder=tmp_path),
    )
    assert Known(chain.analysis).unknown((summary.headline, *summary.paragraphs)) == []
    assert len(summary.paragraphs) == 6
    made = report(
        ReportTask(
            request=chain.request,
            analysis=chain.analysis,
            summary=summary,
            review=chain.review,
            approval={"by": "the demo", "comment": "approved by the demo itself"},
        ),
        offline_context(None, folder=tmp_path),
    )
    assert made.approved_by == "the demo"
    assert made.critical == chain.review.critical
    assert len(made.figures) == 8
