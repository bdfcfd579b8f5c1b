"""The agent `finance.summarize`: the executive summary, in which no number is invented.

Start it with `dalsegno agent dalsegno_agents.gallery.finance.summarize:agent`. With
`DALSEGNO_LLM_MODEL` set (a pydantic-ai name such as `openai:gpt-5`; the provider's key in its own
variable) a model writes; otherwise, and when no text of the model holds, the text is made from the
facts alone. A model is sent figures, trends and anomalies, never rows.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from dalsegno_agents.agent import Agent
from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.model import Analysis, SummarizeRequest, Summary
from dalsegno_agents.gallery.finance.summary.facts import Fact, facts_of
from dalsegno_agents.gallery.finance.summary.known import Known
from dalsegno_agents.gallery.finance.summary.prose import Text, written

if TYPE_CHECKING:  # importing pydantic-ai takes a second that most runs do not need
    from pydantic_ai.models import Model

    from dalsegno_agents.gallery.finance.summary.model_writer import Outcome

MODEL_VARIABLE: Final = "DALSEGNO_LLM_MODEL"
DETERMINISTIC: Final = "deterministic"


class ModelChoice(Protocol):
    """Says which model writes."""

    def __call__(self) -> "Model | str | None":
        """A model, or its name; None: none is configured."""
        ...


_Writer: TypeAlias = Callable[
    ["Model | str", Sequence[Fact], Known, TaskContext[Any]], Awaitable["Outcome"]
]


def model_from_environment() -> str | None:
    """The model that `DALSEGNO_LLM_MODEL` names, read at each task; None: it is not set."""
    return os.environ.get(MODEL_VARIABLE) or None


agent: Final[Agent[ModelChoice]] = Agent(
    "finance-summarize",
    deps=model_from_environment,
    version="1",
    description="Writes the executive summary of an analysis, with a model if one is configured",
    concurrency=4,
)


@agent.handles("finance.summarize")
async def summarize(request: SummarizeRequest, context: TaskContext[ModelChoice]) -> Summary:
    """Write the executive summary; every number in it is in the analysis.

    Raises:
        TaskRejected: The configured model cannot be used as it is set up.
        TaskRetry: Its provider cannot be reached now.
    """
    analysis = request.analysis
    known = Known(analysis)
    model = context.deps()
    if model is None:
        return _summary(from_facts(analysis, known), written_by=DETERMINISTIC, attempts=1)
    context.progress(0.1, "asking the model")
    text_by_model = await asyncio.to_thread(_load)
    outcome = await text_by_model(model, facts_of(analysis), known, context)
    if outcome.text is not None:
        return _summary(outcome.text, written_by=outcome.model, attempts=outcome.texts)
    context.log.warning("summary.fell_back")
    return _summary(
        from_facts(analysis, known),
        written_by=f"{DETERMINISTIC}, after {outcome.model} had written {outcome.texts} texts "
        "that hold what is not in the analysis",
        attempts=outcome.texts + 1,
    )


def from_facts(analysis: Analysis, known: Known) -> Text:
    """The text that is made without a model; a paragraph that does not hold is left out."""
    text = written(analysis)
    return Text(
        headline=text.headline,
        paragraphs=tuple(each for each in text.paragraphs if not known.unknown((each,))),
        cited=text.cited,
    )


def _summary(text: Text, *, written_by: str, attempts: int) -> Summary:
    return Summary(
        headline=text.headline,
        paragraphs=text.paragraphs,
        cited=text.cited,
        written_by=written_by,
        attempts=attempts,
    )


def _load() -> _Writer:
    from dalsegno_agents.gallery.finance.summary.model_writer import text_by_model

    return text_by_model
