"""Handlers that are called directly, without a bus."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from dalsegno_agents import LastProgress, QuestionFailed, offline_context
from dalsegno_bus.messages import Failure


class Opinion(BaseModel):
    verdict: str


async def test_answers_that_are_given_come_back(tmp_path: Path) -> None:
    answers = {"legal.opinion": Opinion(verdict="yes"), "text.translate": "la"}
    context = offline_context(None, folder=tmp_path, answers=answers)

    assert await context.ask("legal.opinion", {"text": "may we?"}) == {"verdict": "yes"}
    assert context.ask_blocking("legal.opinion") == {"verdict": "yes"}
    assert await context.ask_live("text.translate") == "la"
    assert context.ask_live_blocking("text.translate") == "la"


async def test_without_an_answer_asking_says_what_to_give(tmp_path: Path) -> None:
    context = offline_context(None, folder=tmp_path)

    with pytest.raises(QuestionFailed, match=r"answers=\{'legal.opinion'"):
        await context.ask("legal.opinion")
    with pytest.raises(QuestionFailed, match="offline nobody answers"):
        context.ask_live_blocking("legal.opinion")


async def test_an_exception_that_is_given_is_raised(tmp_path: Path) -> None:
    answers = {"legal.opinion": QuestionFailed("too late", code="question.timeout")}
    context = offline_context(None, folder=tmp_path, answers=answers)

    with pytest.raises(QuestionFailed, match="too late"):
        await context.ask("legal.opinion")


def test_what_is_told_and_streamed_is_heard(tmp_path: Path) -> None:
    told: list[object] = []
    context = offline_context(
        None,
        folder=tmp_path,
        on_progress=lambda fraction, message: told.append((fraction, message)),
        on_stream=told.append,
        last_progress=LastProgress(state=7),
        last_failure=Failure(code="task.retry", message="again"),
    )
    context.progress(0.5, "half", state=[1])
    context.stream({"word": "la"})
    context.share("words", 7)

    assert told == [(0.5, "half"), {"word": "la"}]
    assert context.shared == {"words": 7}
    assert context.last_progress == LastProgress(state=7)
    assert context.last_failure is not None
    assert not context.cancelled
