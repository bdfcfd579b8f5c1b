"""How signals, people and other agents answer what a run waits for."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from dalsegno_bus.ids import TaskId
from dalsegno_orchestrator.workflow.events import (
    QuestionAsked,
    SignalAwaited,
    SignalReceived,
    SignalTaken,
    WaitEscalated,
)
from dalsegno_orchestrator.workflow.folding.steps import finished, move, new_task
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.plan import Step, compile_plan
from dalsegno_orchestrator.workflow.run import Run

_SECOND: Final = timedelta(seconds=1)


def awaited(run: Run, event: SignalAwaited, at: datetime) -> None:
    task = move(run, event.task_id, "waiting", at)
    task.until = event.until
    run.look(task, next_escalation(run, task.id))


def next_escalation(run: Run, task_id: str) -> datetime | None:
    """When a waiting task has to be looked at: its next escalation, or its end."""
    task = run.tasks[TaskId(task_id)]
    wait = task.step.task.wait
    assert wait is not None
    if task.told < len(wait.escalate):
        return task.changed_at + wait.escalate[task.told].after * _SECOND
    return task.until


def escalated(run: Run, event: WaitEscalated, at: datetime) -> None:
    task = run.tasks[TaskId(event.task_id)]
    task.told = event.level + 1
    run.look(task, next_escalation(run, task.id))
    step = task.step.escalations[event.level]
    told = new_task(run, TaskId(event.escalation_id), step, at, role="escalation", parent=task.id)
    run.ready.append(told.id)


def received(run: Run, event: SignalReceived, at: datetime) -> None:
    run.heard.add(event.message_id)
    if event.task_id is None:
        run.signals.append(event)
        return
    task = move(run, event.task_id, "completed", at)
    finished(run, task, event.payload, at)


def taken(run: Run, event: SignalTaken, at: datetime) -> None:
    signal = next(s for s in run.signals if s.signal == event.signal)
    run.signals.remove(signal)
    task = move(run, event.task_id, "completed", at)
    finished(run, task, signal.payload, at)


def asked(run: Run, event: QuestionAsked, at: datetime) -> None:
    run.tasks[TaskId(event.task_id)].told += 1
    task = new_task(
        run,
        TaskId(event.question_id),
        question_step(event.capability, event.timeout_seconds),
        at,
        role="question",
        parent=TaskId(event.task_id),
    )
    task.given = event.input
    run.ready.append(task.id)


@lru_cache(maxsize=1024)
def question_step(capability: str, timeout_seconds: float) -> Step:
    """A step that no workflow has: one agent asks another, by capability."""
    task = {
        "capability": capability,
        "timeout": timeout_seconds,
        "queue_timeout": timeout_seconds,
    }
    definition = WorkflowDefinition.parse({"workflow": "question", "tasks": {"question": task}})
    return compile_plan(definition).steps["question"]
