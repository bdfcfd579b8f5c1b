"""Histories for tests: facts, sealed and chained as the orchestrator seals them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dalsegno_bus.ids import RunId, run_id_of_key, workflow_id
from dalsegno_bus.messages import Failure, Json
from dalsegno_orchestrator.history import NO_DIGEST, Recorded, Sealed, seal, unseal
from dalsegno_orchestrator.workflow import events as e
from dalsegno_orchestrator.workflow.checking.checks import check

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RUN = run_id_of_key("ds", "story", "one")
OTHER = run_id_of_key("ds", "story", "two")


def at(second: float) -> datetime:
    """So many seconds after the beginning."""
    return BEGIN + timedelta(seconds=second)


def iso(second: float) -> str:
    """The same, as rows hold it."""
    return at(second).isoformat(timespec="microseconds")


def chain(
    events: Sequence[tuple[e.Event, datetime]], *, stream: UUID = RUN, by: str = "client:test"
) -> list[Sealed]:
    """A whole stream: each event carries the digest of the one before it."""
    sealed: list[Sealed] = []
    previous = NO_DIGEST
    for version, (event, moment) in enumerate(events, start=1):
        sealed.append(
            seal(stream, version, event, at=moment, by=by, cause=f"m{version}", previous=previous)
        )
        previous = sealed[-1].digest
    return sealed


def every_second(*events: e.Event) -> list[tuple[e.Event, datetime]]:
    """The first at second 0, the next at second 1, and so on."""
    return [(event, at(second)) for second, event in enumerate(events)]


def told(*events: e.Event, stream: UUID = RUN, by: str = "client:test") -> list[Sealed]:
    """A stream of events, one second after the other."""
    return chain(every_second(*events), stream=stream, by=by)


def read(sealed: Sequence[Sealed]) -> list[Recorded]:
    """The events as a store that holds nothing else gives them."""
    return [
        unseal(each.stream_id, each.version, each.kind, each.state, position)
        for position, each in enumerate(sealed, start=1)
    ]


def history(*events: e.Event, stream: UUID = RUN) -> list[Recorded]:
    """What a store holds after these events of one stream."""
    return read(told(*events, stream=stream))


# --- facts -------------------------------------------------------------------------------------


def started(input: Json = None, **labels: str) -> e.RunStarted:  # noqa: A002 - the field's own name
    return e.RunStarted(
        workflow="story", workflow_version=1, definition_digest="d", input=input, labels=labels
    )


def assigned(
    task: str, attempt: int = 1, agent: str = "ann", *, hedges: int | None = None
) -> e.TaskAssigned:
    candidate = e.Candidate(agent=agent, score=0.5)
    return e.TaskAssigned(
        task_id=task,
        attempt=attempt,
        agent=agent,
        capability="do",
        candidates=(candidate,),
        reason="the only one",
        hedges=hedges,
    )


def completed(
    task: str, output: Json = None, attempt: int = 1, agent: str = "ann", **more: Any
) -> e.TaskCompleted:
    return e.TaskCompleted(
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica="r1",
        capability="do",
        output=output,
        queue_seconds=0.25,
        work_seconds=0.5,
        **more,
    )


def failed(
    task: str, attempt: int = 1, agent: str | None = "ann", *, final: bool = False, **more: Any
) -> e.TaskFailed:
    return e.TaskFailed(
        task_id=task,
        attempt=attempt,
        agent=agent,
        replica=None if agent is None else "r1",
        error=Failure(code="books.closed", message="the books are closed"),
        retryable=not final,
        final=final,
        **more,
    )


def run_failed(task: str | None = None, *abandoned: tuple[str, int]) -> e.RunFailed:
    return e.RunFailed(
        task_id=task,
        error=Failure(code="books.closed", message="the books are closed"),
        abandoned=tuple(
            e.Abandoned(task_id=name, attempt=attempt, agent="ann") for name, attempt in abandoned
        ),
    )


WHY = Failure(code="books.closed", message="the books are closed")


def abandoned(*tasks: str, attempt: int = 1, agent: str = "ann") -> tuple[e.Abandoned, ...]:
    return tuple(e.Abandoned(task_id=task, attempt=attempt, agent=agent) for task in tasks)


def ending(task_id: str | None = "a", outcome: Any = "failed", **more: Any) -> e.RunEnding:
    return e.RunEnding(outcome=outcome, task_id=task_id, error=WHY, until=at(60), **more)


def not_compensated(*tasks: str, **more: Any) -> e.RunCompensationFailed:
    return e.RunCompensationFailed(outcome="failed", error=WHY, uncompensated=tasks, **more)


def handed_off(task: str, to: str, **more: Any) -> e.TaskHandedOff:
    return e.TaskHandedOff(
        task_id=task, attempt=1, agent="ann", replica="r1", capability="do", to_capability=to,
        queue_seconds=0.25, work_seconds=0.5, **more,
    )  # fmt: skip


def child_started(task: str, attempt: int = 1, run: UUID = RUN, **more: Any) -> e.ChildStarted:
    return e.ChildStarted(
        task_id=task, attempt=attempt, run_id=RunId(run), workflow="payment", **more
    )


def child_ended(
    task: str, attempt: int = 1, run: UUID = RUN, status: Any = "completed", **more: Any
) -> e.ChildEnded:
    return e.ChildEnded(task_id=task, attempt=attempt, run_id=RunId(run), status=status, **more)


def proposed(task: str, *added: str, **more: Any) -> e.PlanProposed:
    return e.PlanProposed(
        task_id=task, attempt=1, agent="ann", replica="r1", capability="do",
        tasks={name: {"capability": "do"} for name in added},
        queue_seconds=0.25, work_seconds=0.5, **more,
    )  # fmt: skip


def rejected(task: str, *, final: bool = False) -> e.PlanRejected:
    return e.PlanRejected(task_id=task, attempt=1, agent="ann", error=WHY, final=final)


def asked(task: str, question: str = "q1") -> e.QuestionAsked:
    return e.QuestionAsked(
        task_id=task, attempt=1, agent="ann", question_id=f"{task}-ask-{question}",
        capability="legal", timeout_seconds=9,
    )  # fmt: skip


def budget_exceeded(limit: Any, allowed: float, action: Any, **more: Any) -> e.BudgetExceeded:
    return e.BudgetExceeded(
        limit=limit, allowed=allowed, action=action, spent_usd=2.75, spent_tokens=120,
        spent_tasks=3, spent_seconds=61.5, **more,
    )  # fmt: skip


def scheduled(cron: str = "0 6 * * 1", **more: Any) -> e.ScheduleSet:
    return e.ScheduleSet(
        workflow="story", workflow_version=1, cron=cron, timezone="Europe/Berlin",
        overlap="queue", catchup="one", **more,
    )  # fmt: skip


def registered(document: dict[str, Any]) -> list[Sealed]:
    """The stream of a workflow with one version; the document has to be right."""
    definition, problems = check(document)
    assert definition is not None, problems
    event = e.WorkflowRegistered(
        workflow=definition.workflow,
        workflow_version=definition.version,
        definition_digest=definition.digest,
        definition=definition.to_json(),
    )
    return chain([(event, BEGIN)], stream=workflow_id(definition.workflow))


def run_of(name: str) -> RunId:
    """A run of one's own."""
    return run_id_of_key("ds", "story", name)
