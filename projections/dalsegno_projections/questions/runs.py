"""Questions about runs, one or many."""

from typing import Annotated

from pydantic import Field

from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.run import Role, RunStatus
from dalsegno_projections.questions.base import (
    ROWS_MAX,
    Answer,
    Offset,
    PageLimit,
    Question,
    RunRef,
)

# --- one run -----------------------------------------------------------------------------------


class AskRun(Question):
    """How does this run stand? Answered with `RunChanged`."""

    run_id: RunRef


class AskRunDetail(Question):
    """All that the views hold of a run, with a page of its tasks."""

    run_id: RunRef
    limit: PageLimit = ROWS_MAX
    offset: Offset = 0


class RunSummary(Answer):
    """One line of a list of runs. Times are ISO 8601 (UTC)."""

    run_id: str
    workflow: str
    workflow_version: int
    status: str
    started_at: str
    changed_at: str
    ended_at: str | None
    started_by: str
    version: int
    """How many events it has."""
    plan_version: int = 1
    """1: its definition; every change of the plan counts."""
    parent_run: str | None = None
    """The run that it does a task of, or the stream of the schedule that started it."""
    parent_task: str | None = None
    """Empty: it was started by a schedule."""
    tasks: dict[str, int]
    """How many tasks, by status."""
    waiting_for: dict[str, int]
    """What tasks wait for, and how many."""
    paused_reason: str | None = None
    budget: str | None = None
    """What of its budget is used up, in a sentence; None: nothing, or the run went on after all."""
    labels: dict[str, str]
    error_code: str | None
    error_message: str | None
    failed_task: str | None
    uncompensated: list[str] = Field(default_factory=list[str])
    """Tasks that still stand though they had to be undone: a person has to look."""
    uncompensated_total: int = 0
    """How many there are; the list has the first ones only."""
    usd: float
    tokens: int


class TaskSummary(Answer):
    """One task of a run."""

    task_id: str
    step: str
    role: Role = "step"
    parent: str | None = None
    """Of an item or iteration its step; of what undoes, tells or answers, whose."""
    index: int | None
    status: str
    attempt: int
    agent: str | None
    replica: str | None
    capability: str | None
    beside: int | None = None
    """The older attempt that goes on beside the newest one, of a hedged task."""
    beside_agent: str | None = None
    reason: str | None
    candidates: list[dict[str, Json]]
    parked_reason: str | None
    waits_for: str | None = None
    """The limit of which there is not enough, while it is parked; None: no limit keeps it."""
    retry_at: str | None
    signal: str | None
    until: str | None
    child_run: str | None = None
    """The run of a sub-workflow that does it, or did."""
    planned: list[str] = Field(default_factory=list[str])
    """The tasks that it added to the run, or proposed to."""
    progress: Json = None
    """What its attempts told of their progress last."""
    failures: int
    error_code: str | None
    error_message: str | None
    output: Json
    output_bytes: int
    began_at: str
    began_version: int
    assigned_at: str | None
    completed_at: str | None
    changed_at: str
    queue_seconds: float
    work_seconds: float
    usd: float
    tokens: int
    items: int
    items_over: int


class ChildSummary(Answer):
    """A run of a sub-workflow, or of a schedule's tick."""

    run_id: str
    workflow: str
    status: str
    parent_task: str | None
    started_at: str
    ended_at: str | None


class RunDetail(Answer):
    """A run with its tasks, in the order in which they began."""

    run: RunSummary
    input: Json
    """None where it is null, or larger than the views keep."""
    input_bytes: int
    output: Json
    output_bytes: int
    tasks: list[TaskSummary]
    more: bool
    """Whether tasks follow after these."""
    children: list[ChildSummary] = Field(default_factory=list[ChildSummary])
    """Its first runs of sub-workflows; `AskRuns(parent=…)` lists them all."""
    children_total: int = 0


# --- many runs ---------------------------------------------------------------------------------


class AskRuns(Question):
    """Which runs are there? The newest first."""

    workflow: str | None = None
    status: RunStatus | tuple[RunStatus, ...] | None = None
    """One, or one of several."""
    parent: RunRef | None = None
    """Only those that this run, or the schedule with this stream, has started."""
    waiting_for: Annotated[str, Field(max_length=200)] | None = None
    """Only those with a task that waits for this (`limit quota:tokens`, `signal approval`)."""
    labels: dict[str, str] = Field(default_factory=dict[str, str], max_length=20)
    """Every one of these has to be there."""
    limit: PageLimit = 50
    offset: Offset = 0


class RunList(Answer):
    """A page of runs."""

    runs: list[RunSummary]
    total: int
    """How many fit, on all pages."""
    more: bool
