"""One valid message of every kind that travels, and of every event of a history, as bytes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from unit.projections.story import chain, registered

from dalsegno_bus import messages as m
from dalsegno_bus.codec import encode
from dalsegno_bus.ids import RunId
from dalsegno_bus.subjects import Subjects
from dalsegno_orchestrator.history import Sealed
from support.scenario import scenario, shared

SUBJECTS: Final = Subjects(namespace="fuzz", partitions=2)
RUN: Final = RunId(UUID("01900000-0000-7000-8000-000000000001"))
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
AGENT: Final = "echo"
WORKFLOW: Final = "sane"
DOCUMENT: Final[Mapping[str, Any]] = {
    "workflow": WORKFLOW,
    "version": 1,
    "input": {"type": "object"},
    "tasks": {
        "one": {"capability": "echo", "input": "${ input }", "retry": {"max_attempts": 2}},
        "two": {
            "capability": "echo",
            "foreach": "${ [1, 2] }",
            "input": {"value": "${ item }"},
            "when": "${ size(input) < 100 }",
            "timeout": "30s",
            "compensate": {"capability": "echo", "input": {"value": 1}},
        },
        "three": {"capability": "echo", "input": {"value": "${ tasks.one }"}, "after": ["two"]},
    },
    "output": "${ tasks.three }",
}

_ATTEMPT: Final[dict[str, Any]] = {
    "run_id": RUN,
    "task_id": "one",
    "attempt": 1,
    "agent": AGENT,
    "replica": "r1",
}
_FAILURE: Final = m.Failure(code="x.y", message="it failed", detail={"a": [1, None]})
_USAGE: Final = m.Usage(usd=0.5, tokens=7)
_PARENT: Final = m.ParentRun(run_id=RUN, task_id="one", attempt=1)

INBOX: Final[tuple[m.Message, ...]] = (
    m.StartRun(run_id=RUN, workflow=WORKFLOW, input={"value": 1}, labels={"a": "b"}),
    m.StartRun(run_id=RUN, workflow=WORKFLOW, version=1, parent=_PARENT),
    m.SignalRun(run_id=RUN, signal="go", payload=[1, "x"]),
    m.CancelRun(run_id=RUN, reason="why", parent=_PARENT),
    m.PauseRun(run_id=RUN, reason="why"),
    m.ResumeRun(run_id=RUN),
    m.RetryRun(run_id=RUN, tasks=("one",)),
    m.RewindRun(run_id=RUN, task_id="one"),
    m.ReplanRun(run_id=RUN, plan_version=1, add={"x": {"capability": "echo"}}, drop=("two",)),
    m.MigrateRun(run_id=RUN, version=1),
    m.ChildOver(run_id=RUN, task_id="one", attempt=1, child=RUN, status="failed", error=_FAILURE),
    m.RegisterWorkflow(definition=dict(DOCUMENT)),
    m.PauseSchedule(workflow=WORKFLOW),
    m.ResumeSchedule(workflow=WORKFLOW),
    m.SetLimit(limit="quota:x", concurrency=1000.0, rate=1000.0, rate_seconds=1.0),
    m.CompletedReport(**_ATTEMPT, output={"value": 1}, usage=_USAGE, work_seconds=0.1),
    m.FailedReport(**_ATTEMPT, error=_FAILURE, retryable=True, retry_after_seconds=1.0),
    m.ContextReport(**_ATTEMPT, key="region", value="eu", base_version=1),
    m.HandoffReport(**_ATTEMPT, capability="echo", input={"value": 1}, usage=_USAGE),
    m.HeartbeatReport(**_ATTEMPT, progress={"fraction": 0.5}),
    m.QuestionReport(**_ATTEMPT, question="q1", capability="echo", input={"value": 1}),
)
TASKS: Final[tuple[m.Message, ...]] = (
    m.TaskCommand(
        run_id=RUN, task_id="one", attempt=1, agent=AGENT, capability="echo", workflow=WORKFLOW,
        input={"value": 1}, timeout_seconds=5.0, last_failure=_FAILURE, context_versions={"a": 1},
    ),
)  # fmt: skip
CONTROL: Final[tuple[m.Message, ...]] = (
    m.CancelAttempt(run_id=RUN, task_id="one", attempt=1, reason="why", grace_seconds=1.0),
)
DRAIN: Final = m.DrainAgent(agent=AGENT, reason="why")
WANTED: Final[tuple[m.Message, ...]] = (m.AskWanted(**_ATTEMPT), m.Wanted(wanted=True))
LIVE: Final[tuple[m.Message, ...]] = (
    m.AttemptStarted(**_ATTEMPT, at=AT),
    m.Progress(**_ATTEMPT, fraction=0.5, message="half", at=AT),
    m.Output(**_ATTEMPT, number=1, piece="x", at=AT),
    m.RunChanged(run_id=RUN, version=3, status="running", output=[1], error=_FAILURE),
    m.QuestionAnswered(run_id=RUN, task_id="one", question="q1", output=1),
)
ASK: Final[tuple[m.Message, ...]] = (
    m.Question(capability="echo", input={"value": 1}, asked_by="a/b/1", timeout_seconds=2.0),
    m.LiveAnswer(output=1, error=_FAILURE),
)
REPLIES: Final[tuple[m.Message, ...]] = (
    m.Accepted(run_id=RUN, workflow=WORKFLOW, version=1, status="running"),
    m.Rejected(reasons=(m.Problem(message="no", path="a.b", line=1, column=2),)),
)
BUCKET: Final[tuple[m.Message, ...]] = (
    m.AgentCard(
        agent=AGENT,
        capabilities=(m.CapabilityCard(name="echo", input_schema={"type": "object"}),),
        labels={"a": "b"},
        concurrency=3,
    ),
    m.Presence(agent=AGENT, replica="r1", started_at=AT, concurrency=1, working=("a/b/1",)),
    m.Drained(agent="other", reason="why", at=AT),
)
DEAD: Final[tuple[m.Message, ...]] = (
    m.DeadLetter(
        subject="a.b", reason="why", body_base64="e30=", body_bytes=2, headers={"a": "b"}, at=AT
    ),
)
EVERY: Final = (*INBOX, *TASKS, *CONTROL, DRAIN, *WANTED, *LIVE, *ASK, *REPLIES, *BUCKET, *DEAD)


def subject_of(message: m.Message) -> str:
    """Where a message of the inbox belongs, more or less."""
    run_id = getattr(message, "run_id", RUN)
    if isinstance(message, m.Report):
        return SUBJECTS.report(message.agent, run_id)
    return SUBJECTS.request(run_id)


def bodies(samples: tuple[m.Message, ...]) -> tuple[bytes, ...]:
    """The same as bytes."""
    return tuple(encode(sample) for sample in samples)


def events() -> list[Sealed]:
    """Recorded facts of a run with a `foreach`, a failure, a retry and shared context."""
    tasks: dict[str, Any] = {
        "gather": {"capability": "do", "foreach": [1, 2]},
        "analyze": {"capability": "other", "input": "${ tasks.gather }"},
    }
    run = scenario(tasks)
    run.start({"year": 2025})
    run.when(shared("gather-0", "region", "eu"))
    run.done("gather-0", {"rows": 1})
    run.fail("gather-1")
    run.after(60.0)
    run.done("gather-1", {"rows": 2}, attempt=2)
    run.done("analyze", "fine")
    return [*registered(dict(DOCUMENT)), *chain(run.history)]
