"""What a handler may do, and which report comes of it."""

import asyncio
import math
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from dalsegno_agents import Agent, TaskContext, TaskRejected, TaskRetry
from dalsegno_bus.artifacts import check_in, check_out, has_claim, is_claim
from dalsegno_bus.messages import CompletedReport
from tests.unit.agents.conftest import Stage, Text, failure, only


async def test_a_finished_attempt_is_reported_with_its_output_and_times(stage: Stage) -> None:
    async def echo(text: Text, context: TaskContext[None]) -> Text:
        del context
        return text

    report = await only(stage, echo, {"text": "la"})

    assert isinstance(report, CompletedReport)
    assert report.output == {"text": "la"}
    assert report.usage is None
    assert report.queue_seconds >= 0.0
    assert report.work_seconds > 0.0


async def test_a_plain_function_works_in_a_thread(stage: Stage) -> None:
    def where(text: Text, context: TaskContext[None]) -> bool:
        del text, context
        return threading.current_thread() is threading.main_thread()

    report = await only(stage, where)

    assert report.output is False


async def test_the_context_names_the_attempt_and_its_deadline(stage: Stage) -> None:
    async def tell(text: Text, context: TaskContext[str]) -> dict[str, Any]:
        del text
        assert context.deadline is not None
        left = context.deadline - datetime.now(UTC)  # noqa: TID251
        return {
            "key": context.idempotency_key,
            "attempt": context.attempt,
            "in_time": timedelta(0) < left <= timedelta(seconds=60),
        }

    report = await only(stage, tell, attempt=3, timeout_seconds=60.0)

    key = f"{stage.run_id}/a"
    assert report.output == {"key": key, "attempt": 3, "in_time": True}


async def test_a_model_that_is_strict_takes_what_json_says(stage: Stage) -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        at: datetime
        pair: tuple[int, int]

    async def read(strict: Strict, context: TaskContext[None]) -> int:
        del context
        return strict.at.year + strict.pair[1]

    report = await only(stage, read, {"at": "2026-01-01T00:00:00Z", "pair": [1, 2]})

    assert report.output == 2028


async def test_an_unknown_capability_is_final_and_says_what_there_is(stage: Stage) -> None:
    async def echo(text: Text, context: TaskContext[None]) -> Text:
        del context
        return text

    agent = Agent("scribe")
    agent.handles("text.do")(echo)
    async with stage.worker(agent):
        await stage.command("text.undo")
        report = await stage.report()

    assert failure(report) == ("task.capability", False)
    assert "'text.do'" in report.error.message


async def test_an_input_that_does_not_fit_is_final_and_names_the_path(stage: Stage) -> None:
    class Book(BaseModel):
        pages: list[Text]

    async def read(book: Book, context: TaskContext[None]) -> int:
        del context
        return len(book.pages)

    report = await only(stage, read, {"pages": [{"text": "a"}, {"text": 3}]})

    assert failure(report) == ("task.input", False)
    assert "pages.1.text" in report.error.message


async def test_a_rejection_is_final_with_its_code_and_detail(stage: Stage) -> None:
    async def reject(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise TaskRejected("too old", code="books.old", detail={"year": 1802})

    report = await only(stage, reject)

    assert failure(report) == ("books.old", False)
    assert (report.error.message, report.error.detail) == ("too old", {"year": 1802})


async def test_a_detail_that_json_cannot_say_is_told_as_text(stage: Stage) -> None:
    async def reject(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise TaskRejected("odd", detail={"value": math.nan})

    report = await only(stage, reject)

    assert report.error.detail == "{'value': nan}"


@pytest.mark.parametrize(
    ("after", "told"), [(2.5, 2.5), (None, None), (-1.0, 0.0), (math.nan, None)]
)
async def test_a_wish_to_retry_travels_with_its_pause(
    stage: Stage, after: float | None, told: float | None
) -> None:
    async def busy(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise TaskRetry("busy", after_seconds=after)

    report = await only(stage, busy)

    assert failure(report) == ("task.retry", True)
    assert report.retry_after_seconds == told


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("seven"), "ValueError: seven"),
        (ValueError("\ud800"), "ValueError: \\ud800"),
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (Unspeakable(), "<exception str() failed>"),
        (ExceptionGroup("two", [ValueError("one")]), "ExceptionGroup: two"),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
async def test_any_other_exception_is_retryable_and_brings_its_traceback(
    stage: Stage, error: BaseException, message: str, plain: bool
) -> None:
    async def fail(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise error

    def fail_plainly(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise error

    report = await only(stage, fail_plainly if plain else fail)

    assert failure(report) == ("task.exception", True)
    assert message in report.error.message
    assert "raise error" in report.error.detail


async def test_a_long_traceback_is_cut(stage: Stage) -> None:
    async def fail(text: Text, context: TaskContext[None]) -> Text:
        del text, context
        raise ValueError("x" * 1_000_000)

    report = await only(stage, fail)

    assert len(report.error.message) == 2_000
    assert len(report.error.detail) == 8_000


@pytest.mark.parametrize(
    ("output", "path"),
    [
        ({"text": math.nan}, "text: "),
        ({"text": "a", "rest": [{"x": math.inf}]}, "rest.0.x: "),
        ({"rest": object()}, "does not fit"),
        ({"rest": "\ud800"}, "does not fit"),
    ],
)
async def test_an_output_that_does_not_fit_is_final_and_names_the_path(
    stage: Stage, output: Any, path: str
) -> None:
    class Loose(BaseModel):
        text: str = ""
        rest: Any = None

    async def make(text: Text, context: TaskContext[None]) -> Loose:
        del text, context
        return output

    report = await only(stage, make)

    assert failure(report) == ("task.output", False)
    assert path in report.error.message


@pytest.mark.slow
async def test_an_attempt_that_takes_too_long_is_retryable(stage: Stage) -> None:
    cancelled: list[bool] = []

    async def wait(text: Text, context: TaskContext[None]) -> Text:
        del context
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise
        return text

    report = await only(stage, wait, timeout_seconds=0.05)

    assert failure(report) == ("task.timeout", True)
    assert report.work_seconds >= 0.05
    assert cancelled == [True]


async def test_a_time_limit_of_the_handlers_own_is_an_exception_like_any_other(
    stage: Stage,
) -> None:
    async def wait(text: Text, context: TaskContext[None]) -> Text:
        del context
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()
        return text

    report = await only(stage, wait, timeout_seconds=60.0)

    assert failure(report) == ("task.exception", True)
    assert report.error.message == "TimeoutError"


async def test_a_timed_out_thread_keeps_its_slot_until_it_ends(stage: Stage) -> None:
    gate = threading.Event()
    begun: list[str] = []

    def wait(text: Text, context: TaskContext[None]) -> Text:
        begun.append(context.task_id)
        gate.wait(10.0)
        return text

    agent = Agent("scribe", concurrency=1)
    agent.handles("text.do")(wait)
    async with stage.worker(agent) as worker:
        await stage.command("text.do", task_id="a", timeout_seconds=0.02)
        assert failure(await stage.report()) == ("task.timeout", True)
        await stage.command("text.do", task_id="b")
        for _ in range(100):  # many turns of the loop; a few would take it
            await asyncio.sleep(0)
        assert stage.waiting("scribe") == 1
        assert (worker.threads.abandoned, begun) == (1, ["a"])
        gate.set()
        report = await stage.report()

    assert report.task_id == "b"
    assert begun == ["a", "b"]
    assert (worker.threads.abandoned, worker.threads.abandoned_ever) == (0, 1)


async def test_a_large_input_is_put_back_before_the_handler_sees_it(stage: Stage) -> None:
    async def measure(text: Text, context: TaskContext[None]) -> int:
        del context
        return len(text.text)

    value = check_in({"text": "x" * 100_000}, stage.artifacts)
    assert has_claim(value)

    report = await only(stage, measure, value)

    assert report.output == 100_000


async def test_a_missing_artifact_is_retryable(stage: Stage) -> None:
    async def echo(text: Text, context: TaskContext[None]) -> Text:
        del context
        return text

    claim = {"sha256": "0" * 64, "size_bytes": 1}

    report = await only(stage, echo, {"text": {"$claim": claim}})

    assert failure(report) == ("artifact.missing", True)


async def test_a_large_output_travels_by_reference(stage: Stage) -> None:
    async def write(text: Text, context: TaskContext[None]) -> dict[str, Any]:
        del text, context
        return {"pages": 2, "text": "x" * 100_000}

    report = await only(stage, write)

    assert report.output["pages"] == 2
    assert is_claim(report.output["text"])
    assert check_out(report.output, stage.artifacts)["text"] == "x" * 100_000
