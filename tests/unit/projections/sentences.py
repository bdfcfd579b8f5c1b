"""Events of the whole saga, each with the sentence that is told of it."""

from unit.projections.story import (
    RUN,
    abandoned,
    assigned,
    at,
    budget_exceeded,
    child_ended,
    child_started,
    completed,
    ending,
    handed_off,
    proposed,
    rejected,
    scheduled,
)

from dalsegno_bus.messages import Failure
from dalsegno_orchestrator.workflow import events as e

WHY = Failure(code="x", message="the books are closed.")
NAMES = tuple(f"t{number}" for number in range(10))

BY_TASK = {"b": 0.75, "a": 2.0}

Told = list[tuple[e.Event, str]]

OF_TASKS: Told = [
    (
        assigned("a", 2, "bob", hedges=1),
        "Attempt 2 of a went to bob beside attempt 1 (the only one).",
    ),
    (
        completed("a", attempt=2, agent="bob", abandoned=abandoned("a")),
        "bob completed attempt 2 of a in 500 ms, before attempt 1 at ann.",
    ),
    (
        e.TaskParked(
            task_id="a", capability="do", reason="no room", waits_for="quota:x", until=at(60)
        ),
        "a is parked until 2026-01-01 00:01:00 UTC: no room.",
    ),
    (
        e.LadderClimbed(
            task_id="a", rung=0, capability="do", others_only=True, reason="all failed."
        ),
        "a asks for do, of other agents, as rung 1 of its ladder: all failed.",
    ),
    (
        e.LadderClimbed(task_id="a", rung=1, capability="also", at=at(60), reason=""),
        "a asks for also after 2026-01-01 00:01:00 UTC, as rung 2 of its ladder.",
    ),
    (
        handed_off("a", "finance.tax", reason="it is about tax"),
        "ann handed a on, after attempt 1, to an agent with finance.tax (it is about tax).",
    ),
    (
        e.AttemptProgressed(task_id="a", attempt=2, agent="ann"),
        "ann is at work on attempt 2 of a.",
    ),
    (
        e.AttemptProgressed(
            task_id="a",
            attempt=1,
            agent="ann",
            progress={"fraction": 0.4, "message": "page 4\nof 10", "state": {"page": 4}},
        ),
        "ann is at work on attempt 1 of a (40%, page 4 of 10).",
    ),
    (
        e.TaskFailed(
            task_id="a",
            attempt=0,
            final=True,
            retryable=False,
            error=Failure(code="task.repeat_exhausted", message="${ output.ok } did not hold"),
        ),
        "a ended without success: ${ output.ok } did not hold.",
    ),
    (e.TaskRepeated(task_id="a", iteration=0), "a runs for the 1st time."),
    (
        e.TaskRepeated(task_id="a", iteration=2, at=at(60)),
        "a runs for the 3rd time, not before 2026-01-01 00:01:00 UTC.",
    ),
    (e.TaskRepeated(task_id="a", iteration=11), "a runs for the 12th time."),
    (e.RepeatEnded(task_id="a", iterations=2), "a is done after 2 times."),
    (child_started("pay"), f"Attempt 1 of pay is the run {RUN} of payment."),
    (
        child_started("pay", attempt=2, workflow_version=3),
        f"Attempt 2 of pay is the run {RUN} of payment version 3.",
    ),
    (child_ended("pay"), f"The run {RUN} that does pay completed."),
    (
        child_ended("pay", status="rejected", error=WHY),
        f"The run {RUN} that does pay was refused: the books are closed.",
    ),
    (
        child_ended("pay", status="compensation_failed", error=WHY, final=False),
        f"The run {RUN} that does pay failed (not all of it is undone) and is tried again: "
        "the books are closed.",
    ),
    (
        e.QuestionAsked(
            task_id="a", attempt=1, agent="ann", question_id="a-ask-1", capability="legal",
            timeout_seconds=9,
        ),
        "ann asks whoever has legal, from a: a-ask-1 has the answer.",
    ),
    (
        e.CompensationFailed(task_id="a", error=WHY),
        "a could not be undone: the books are closed.",
    ),
    (
        e.ContextShared(
            task_id="a", attempt=1, agent="ann", key="region", key_version=2, merged=True
        ),
        "ann shared 'region' (version 2), merged with what was there, from a.",
    ),
    (
        e.ContextConflicted(
            task_id="a", attempt=1, agent="ann", key="region", base_version=1, key_version=2
        ),
        "ann could not share 'region' from a: it had seen version 1, and version 2 was there.",
    ),
    (
        e.WaitEscalated(task_id="ok", level=0, escalation_id="ok-escalation-0"),
        "ok has waited for so long that ok-escalation-0 tells of it.",
    ),
]  # fmt: skip

OF_RUNS: Told = [
    (
        e.RunStarted(
            workflow="w", workflow_version=1, definition_digest="d",
            parent=e.Parent(run_id=RUN, task_id="pay", attempt=1),
        ),
        f"A run of w (version 1) was accepted for pay of run {RUN}.",
    ),
    (
        e.RunStarted(
            workflow="w", workflow_version=1, definition_digest="d", parent=e.Parent(run_id=RUN)
        ),
        "A run of w (version 1) was accepted on schedule.",
    ),
    (
        e.RunFailed(error=WHY, compensated=("b", "a")),
        "The run failed: the books are closed (undone before: b and a).",
    ),
    (
        e.RunCancelled(reason="enough", compensated=("a",)),
        "The run was cancelled: enough (undone before: a).",
    ),
    (ending(), "The run fails because of a: the books are closed."),
    (
        ending(
            outcome="cancelled", task_id=None, stopping=abandoned("a", "b"), children=(RUN,)
        ),
        "The run is being cancelled: the books are closed; 2 attempts and 1 run of its own may "
        "stop until 2026-01-01 00:01:00 UTC.",
    ),
    (e.CompensationStarted(tasks=("c", "b", "a")), "3 tasks will be undone: c, b and a."),
    (
        e.CompensationStarted(tasks=NAMES),
        "10 tasks will be undone: t0, t1, t2, t3, t4, t5, t6, t7 and 2 more.",
    ),
    (
        e.RunCompensationFailed(outcome="failed", error=WHY, uncompensated=("a", "b")),
        "The run failed (the books are closed), and a and b could not be undone.",
    ),
    (
        e.RunReopened(tasks=("a",), reason="it is mended"),
        "The run was opened again, to do a once more (it is mended).",
    ),
    (
        e.RunReopened(tasks=("a", "b"), undoing=True),
        "The run was opened again, to undo a and b once more.",
    ),
    (
        e.RunRewound(task_id="a", undone=("a", "b"), reason="other books"),
        "The run went back to before a, as if a and b had never begun (other books).",
    ),
]  # fmt: skip

OF_PLANS: Told = [
    (
        budget_exceeded("usd", 2.5, "pause", by_task=BY_TASK),
        "The run has used 2.75 USD of 2.5, most of it for a: it is paused.",
    ),
    (
        budget_exceeded("tokens", 100, "ask", by_task=BY_TASK),
        "The run has used 120 tokens of 100, most of it for a: it waits for the signal 'budget'.",
    ),
    (
        budget_exceeded("tasks", 1, "stop", by_task=BY_TASK),
        "The run has used 3 attempts of 1, most of it for a: it is stopped.",
    ),
    (
        budget_exceeded("time", 60, "pause"),
        "The run has used 61.5 s of 60: it is paused.",
    ),
    (
        e.BudgetRaised(usd=5.0, tokens=9, message_id="m"),
        "The run may now cost 5 USD and 9 tokens.",
    ),
    (e.BudgetRaised(message_id="m"), "The run may now cost as much as before."),
    (proposed("p", "x", "y"), "ann proposed 2 tasks for p, in attempt 1: x and y."),
    (
        e.PlanAccepted(task_id="p", plan_version=2),
        "The plan of p was accepted (plan version 2).",
    ),
    (
        rejected("p"),
        "The plan of p by ann was rejected and is asked for again: the books are closed.",
    ),
    (
        rejected("p", final=True),
        "The plan of p by ann was rejected for good: the books are closed.",
    ),
    (e.PlanFinished(task_id="p"), "All that p planned is done."),
    (
        e.RunReplanned(
            plan_version=3, add={"x": {}}, drop=("y",), change={"z": {}}, reason="a new rule"
        ),
        "The run was planned anew (plan version 3): x added, y dropped, z changed (a new rule).",
    ),
    (
        e.RunMigrated(plan_version=2, workflow_version=7, definition_digest="d", definition={}),
        "The run follows version 7 of its workflow from now on (plan version 2).",
    ),
]

OF_STREAMS: Told = [
    (scheduled(), "Version 1 of story runs at '0 6 * * 1' (Europe/Berlin)."),
    (e.ScheduleRemoved(workflow="story", workflow_version=2), "story has no schedule any more."),
    (e.SchedulePaused(reason="holidays"), "The schedule was paused: holidays."),
    (e.ScheduleResumed(), "The schedule goes on."),
    (
        e.TickFired(tick=at(60), run_id=RUN),
        f"The tick of 2026-01-01 00:01:00 UTC started the run {RUN}.",
    ),
    (
        e.TickQueued(tick=at(60)),
        "The tick of 2026-01-01 00:01:00 UTC waits for the run of the tick before.",
    ),
    (
        e.TickSkipped(tick=at(60), reason="it is paused"),
        "The tick of 2026-01-01 00:01:00 UTC was skipped: it is paused.",
    ),
    (
        e.TickSkipped(tick=at(60), count=3, last=at(180), reason="nobody was there"),
        "3 ticks from 2026-01-01 00:01:00 UTC to 2026-01-01 00:03:00 UTC were skipped: "
        "nobody was there.",
    ),
    (
        e.ScheduledRunEnded(run_id=RUN, status="compensation_failed"),
        f"The run {RUN} is over: compensation failed.",
    ),
    (
        e.LimitSet(limit="quota:tokens", concurrency=4.0, rate=1_000_000.0, rate_seconds=60.0),
        "quota:tokens is limited to 4 at the same time and 1000000 within 60 s.",
    ),
    (e.LimitRemoved(limit="quota:tokens"), "quota:tokens is not limited any more."),
]
