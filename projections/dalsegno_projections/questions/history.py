"""Questions about what happened, and how things stood then."""

from typing import Annotated

from pydantic import Field

from dalsegno_bus.messages import Json
from dalsegno_projections.questions.base import Answer, PageLimit, Position, Question, RunRef


class AskHistory(Question):
    """What happened in this run, event by event?"""

    run_id: RunRef
    after: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Only events with a version above this."""
    limit: PageLimit = 200


class HistoryEntry(Answer):
    """One event of a run."""

    version: int
    at: str
    by: str
    cause: str
    kind: str
    task_id: str | None
    digest: str
    sentence: str
    event: dict[str, Json] | None
    """None where it is too large for an answer."""


class History(Answer):
    """A page of a run's events, oldest first."""

    run_id: str
    entries: list[HistoryEntry]
    more: bool
    """Whether events follow: ask again with `after` the last version here."""


class AskState(Question):
    """How did this run stand then? Played again from its history."""

    run_id: RunRef
    at: Annotated[str, Field(max_length=64)]
    """After the event of this number (from 1), or at this time (ISO 8601; UTC unless it says)."""


class TaskThen(Answer):
    """A task as it stood."""

    task_id: str
    step: str
    role: str = "step"
    index: int | None
    status: str
    attempt: int
    agent: str | None
    failures: int
    changed_at: str
    output: Json
    """None where it is null, or too large: `output_bytes` tells."""
    output_bytes: int
    error_code: str | None
    error_message: str | None


class StateThen(Answer):
    """A run as it stood after one of its events, played again from its history."""

    run_id: str
    workflow: str
    workflow_version: int
    version: int
    """After this event."""
    at: str
    """When that was recorded."""
    plan_version: int = 1
    status: str
    tasks: list[TaskThen]
    context: dict[str, Json]
    """What its tasks shared; empty where it is too large: `context_bytes` tells."""
    context_bytes: int
    output: Json
    output_bytes: int
    error_code: str | None
    error_message: str | None
    more: bool
    """Whether tasks had to be left out to fit into an answer."""


class AskAudit(Question):
    """Who did what, over all runs; oldest first."""

    run_id: RunRef | None = None
    kind: str | None = None
    after: Position = 0
    """Only events with a position above this."""
    limit: PageLimit = 200


class AuditEntry(Answer):
    """One event of the audit trail."""

    position: int
    stream_id: str
    version: int
    at: str
    by: str
    cause: str
    kind: str
    task_id: str | None
    digest: str
    sentence: str


class Audit(Answer):
    """A page of the audit trail."""

    entries: list[AuditEntry]
    more: bool
