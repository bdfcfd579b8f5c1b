"""The executive summary, with a model and without; models are pydantic-ai's own for tests."""

from pathlib import Path

import pytest
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from dalsegno_agents import TaskContext, TaskRejected, TaskRetry, offline_context
from dalsegno_agents.gallery.finance.model import Analysis, SummarizeRequest
from dalsegno_agents.gallery.finance.sources import ReportRequest
from dalsegno_agents.gallery.finance.summarize import (
    ModelChoice,
    agent,
    model_from_environment,
    summarize,
)
from dalsegno_agents.gallery.finance.summary.facts import brief, counted, facts_of, listed
from dalsegno_agents.gallery.finance.summary.known import Known
from dalsegno_agents.gallery.finance.summary.prose import written

Draft = dict[str, str | list[str]]

GOOD: Draft = {
    "headline": "Revenue rose 6.5 % on the year to EUR 8.07 million",
    "paragraphs": [
        "Revenue of EUR 8.07 million was 6.5 % above that of a year earlier, with margins stable.",
        "Nine anomalies were found, of which two are critical; V9033 needs to be confirmed first.",
    ],
    "cited": ["revenue/group/2025-Q4", "revenue/group/2025-Q4/yoy", "unknown_counterparty/1"],
}
INVENTED: Draft = {**GOOD, "headline": "Revenue rose 7.77 % on the year to EUR 8.07 million"}
UNCITED: Draft = {**GOOD, "cited": ["revenue/group/1999-Q4"]}


@pytest.fixture
def asked(analysis: Analysis, request_of_report: ReportRequest) -> SummarizeRequest:
    return SummarizeRequest(request=request_of_report, analysis=analysis)


def context_with(model: Model | str | None, folder: Path) -> TaskContext[ModelChoice]:
    def choose() -> Model | str | None:
        return model

    choice: ModelChoice = choose
    return offline_context(choice, folder=folder)


class Scripted:
    """Answers of a model, one after the other; keeps what it was told."""

    def __init__(self, *drafts: Draft) -> None:
        self._drafts = list(drafts)
        self.told: list[str] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = messages[-1]
        assert isinstance(last, ModelRequest)
        for part in last.parts:
            if isinstance(part, ToolReturnPart):
                self.told.append(str(part.content))
        draft = self._drafts.pop(0) if len(self._drafts) > 1 else self._drafts[0]
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, draft)])


async def test_without_a_model_the_text_is_made_from_the_facts(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    context = context_with(None, tmp_path)
    summary = await summarize(asked, context)
    assert summary.written_by == "deterministic"
    assert summary.attempts == 1
    assert summary.headline.startswith("Revenue rose 6.5 % on the year to EUR 8.07 million")
    assert context.spent == []


async def test_every_number_of_the_text_from_facts_is_in_the_analysis(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    summary = await summarize(asked, context_with(None, tmp_path))
    assert Known(asked.analysis).unknown((summary.headline, *summary.paragraphs)) == []
    assert len(summary.paragraphs) == 6
    ids = {fact.id for fact in facts_of(asked.analysis)}
    assert set(summary.cited) <= ids


def test_the_facts_themselves_hold(analysis: Analysis) -> None:
    assert Known(analysis).unknown(fact.text for fact in facts_of(analysis)) == []


def test_the_same_analysis_gives_the_same_text(analysis: Analysis) -> None:
    assert written(analysis) == written(analysis)


def test_the_text_says_what_changed_why_what_is_wrong_and_what_to_do(analysis: Analysis) -> None:
    text = " ".join(written(analysis).paragraphs)
    assert "6.5 % more than a year earlier" in text
    assert "Growth reached the result" in text
    assert "nine anomalies, of which two are critical and three are high" in text
    assert "First, hold further payments to V9033" in text
    assert "The books do not suffice for: Payroll against the ledger." in text


def test_books_without_revenue_still_get_a_summary(analysis: Analysis) -> None:
    bare = analysis.model_copy(update={"figures": (), "trends": (), "anomalies": ()})
    text = written(bare)
    assert "do not hold what revenue is computed from" in text.headline
    assert Known(bare).unknown((text.headline, *text.paragraphs)) == []
    assert "raised no anomaly" in " ".join(text.paragraphs)


def test_a_fall_is_told_as_a_fall(analysis: Analysis) -> None:
    fallen = tuple(
        trend.model_copy(update={"change": -abs(trend.change), "change_ratio": -0.031})
        if trend.change_ratio is not None
        else trend.model_copy(update={"change": -0.02})
        for trend in analysis.trends
    )
    text = written(analysis.model_copy(update={"trends": fallen}))
    assert text.headline.startswith("Revenue fell 3.1 % on the year")
    assert "and the operating margin narrowed to" in text.headline
    assert "Costs did not follow sales downwards" in " ".join(text.paragraphs)


async def test_a_text_of_the_model_that_holds_is_taken(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    model = TestModel(custom_output_args=GOOD)
    context = context_with(model, tmp_path)
    summary = await summarize(asked, context)
    assert summary.headline == GOOD["headline"]
    assert summary.written_by == "test:test"
    assert summary.attempts == 1
    assert sum(use.tokens for use in context.spent) > 0


async def test_an_invented_number_is_sent_back_and_the_second_text_is_taken(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    script = Scripted(INVENTED, GOOD)
    summary = await summarize(asked, context_with(FunctionModel(script), tmp_path))
    assert summary.headline == GOOD["headline"]
    assert summary.attempts == 2
    assert "7.77 %" in script.told[0]


async def test_an_invented_citation_is_sent_back(asked: SummarizeRequest, tmp_path: Path) -> None:
    script = Scripted(UNCITED, GOOD)
    summary = await summarize(asked, context_with(FunctionModel(script), tmp_path))
    assert summary.attempts == 2
    assert "revenue/group/1999-Q4" in script.told[0]


async def test_a_model_that_always_invents_gives_way_to_the_facts(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    script = Scripted(INVENTED)
    context = context_with(FunctionModel(script, model_name="dreamer"), tmp_path)
    summary = await summarize(asked, context)
    assert summary.written_by.startswith(
        "deterministic, after function:dreamer had written 3 texts"
    )
    assert summary.attempts == 4
    assert Known(asked.analysis).unknown((summary.headline, *summary.paragraphs)) == []
    assert sum(use.tokens for use in context.spent) > 0


async def test_a_provider_that_cannot_be_reached_is_tried_again_later(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelAPIError("far-away", "connection refused", retry_after=7.0)

    with pytest.raises(TaskRetry, match="cannot be reached now") as caught:
        await summarize(asked, context_with(FunctionModel(fail), tmp_path))
    assert caught.value.after_seconds == 7.0


@pytest.mark.parametrize(("status", "error"), [(503, TaskRetry), (429, TaskRetry)])
async def test_a_busy_provider_is_tried_again(
    asked: SummarizeRequest, tmp_path: Path, status: int, error: type[Exception]
) -> None:
    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(status, "busy")

    with pytest.raises(error):
        await summarize(asked, context_with(FunctionModel(fail), tmp_path))


async def test_a_refused_key_is_final_and_names_the_variable(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise ModelHTTPError(401, "locked")

    with pytest.raises(TaskRejected, match="DALSEGNO_LLM_MODEL"):
        await summarize(asked, context_with(FunctionModel(fail), tmp_path))


async def test_an_unknown_model_is_final_and_says_how_to_go_on(
    asked: SummarizeRequest, tmp_path: Path
) -> None:
    with pytest.raises(TaskRejected, match=r"nobody:nothing.*unset the variable"):
        await summarize(asked, context_with("nobody:nothing", tmp_path))


def test_the_model_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DALSEGNO_LLM_MODEL", raising=False)
    assert model_from_environment() is None
    monkeypatch.setenv("DALSEGNO_LLM_MODEL", "openai:gpt-5")
    assert model_from_environment() == "openai:gpt-5"


def test_the_agent_offers_one_capability() -> None:
    assert [one.name for one in agent.card.capabilities] == ["finance.summarize"]


def test_words_are_put_together_as_english_does() -> None:
    assert counted(1, "entity", "entities") == "one entity"
    assert counted(14, "check") == "14 checks"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert brief(-123_456_789, "cents", "EUR") == "EUR -1.23 million"
    assert brief(88_161_400, "cents", "EUR") == "EUR 881,614"
