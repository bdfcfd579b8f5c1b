"""Questions: an attempt asks another agent, recorded, retried and timed out like a task."""

from typing import Final

from dalsegno_bus.ids import question_id
from dalsegno_bus.messages import Failure, QuestionAnswered, QuestionReport
from dalsegno_orchestrator.workflow.events import QuestionAsked
from dalsegno_orchestrator.workflow.run import ENDING, OVER, Run
from dalsegno_orchestrator.workflow.turn import Turn, awaited_task

QUESTIONS_MAX: Final = 100
"""How many questions one task may ask."""


def ask(turn: Turn, report: QuestionReport) -> None:
    """Record a question; the same one again is answered again, and not asked again."""
    run, task = turn.run, awaited_task(turn.run, report)
    child = question_id(report.task_id, report.question)
    if task is None or child in run.tasks or run.status in ENDING:
        return
    if task.told >= QUESTIONS_MAX:
        return
    turn.record(
        QuestionAsked(
            task_id=report.task_id,
            attempt=report.attempt,
            agent=report.agent,
            question_id=child,
            capability=report.capability,
            input=report.input,
            timeout_seconds=report.timeout_seconds,
        )
    )


def answer_to(run: Run, report: QuestionReport) -> QuestionAnswered | None:
    """What to say to who asks; None: nothing yet, the task that answers goes on."""
    child = run.tasks.get(question_id(report.task_id, report.question))
    output, error = None, None
    if child is None:
        text = f"a task may ask {QUESTIONS_MAX} questions, while its run goes on"
        error = Failure(code="question.refused", message=text)
    elif child.status not in OVER:
        return None
    elif child.status == "completed":
        output = child.output
    else:
        error = child.error
    return QuestionAnswered(
        run_id=run.id,
        task_id=report.task_id,
        question=report.question,
        output=output,
        error=error,
    )
