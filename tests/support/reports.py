"""What agents, other runs and people say to the one run of a test, made short."""

from typing import Any

from dalsegno_bus.ids import RunId, run_id_of_key
from dalsegno_bus.messages import (
    ChildOver,
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    HandoffReport,
    HeartbeatReport,
    Json,
    QuestionReport,
)

RUN = run_id_of_key("ds", "test", "one")


def completed(
    task: str, output: Json = None, *, attempt: int = 1, agent: str = "a", **more: Any
) -> CompletedReport:
    return CompletedReport(
        run_id=RUN, task_id=task, attempt=attempt, agent=agent, replica="r", output=output, **more
    )


def failed(
    task: str,
    *,
    attempt: int = 1,
    agent: str = "a",
    retryable: bool = True,
    after: float | None = None,
    code: str = "test",
    **more: Any,
) -> FailedReport:
    return FailedReport(
        run_id=RUN,
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica="r",
        error=Failure(code=code, message="as the test asked"),
        retryable=retryable,
        retry_after_seconds=after,
        **more,
    )


def shared(
    task: str,
    key: str,
    value: Json,
    *,
    attempt: int = 1,
    agent: str = "a",
    seen: int | None = None,
) -> ContextReport:
    return ContextReport(
        run_id=RUN,
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica="r",
        key=key,
        value=value,
        base_version=seen,
    )


def heartbeat(
    task: str, progress: Json = None, *, attempt: int = 1, agent: str = "a"
) -> HeartbeatReport:
    return HeartbeatReport(
        run_id=RUN, task_id=task, attempt=attempt, agent=agent, replica="r", progress=progress
    )


def handoff(
    task: str,
    capability: str,
    input: Json = None,  # noqa: A002 - the field's own name
    *,
    attempt: int = 1,
    agent: str = "a",
) -> HandoffReport:
    return HandoffReport(
        run_id=RUN,
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica="r",
        capability=capability,
        input=input,
    )


def question(
    task: str,
    asked: str,
    capability: str = "other",
    *,
    attempt: int = 1,
    agent: str = "a",
    timeout: float = 600.0,
) -> QuestionReport:
    return QuestionReport(
        run_id=RUN,
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica="r",
        question=asked,
        capability=capability,
        input={"asked": asked},
        timeout_seconds=timeout,
    )


def child_over(
    task: str, child: RunId, status: str = "completed", *, attempt: int = 1, **more: Any
) -> ChildOver:
    return ChildOver.model_validate(
        {"run_id": RUN, "task_id": task, "attempt": attempt, "child": child, "status": status}
        | more
    )
