"""The errors that only agents know; all others stand in `dalsegno_bus.errors`."""

from collections.abc import Sequence

from dalsegno_bus.errors import TaskError


class QuestionFailed(TaskError):
    """Nobody answered a question. Catch it to go on without; else the attempt is tried again.

    Args:
        message: Why, readable.
        code: The same for programs: `question.timeout`, `question.nobody`, `question.busy`, or
            what the one who was asked gave as the code of its failure.
        detail: What came with the failure.
    """

    code = "task.question"

    def __init__(self, message: str, *, code: str = "task.question", detail: object = None) -> None:
        super().__init__(message)
        self.reason_code = code
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return (_failed, (str(self), self.reason_code, self.detail))


class ReplanRefused(TaskError):
    """The run's plan stays as it was. Catch it to go on; else the attempt is tried again.

    Args:
        reasons: Every one, readable.
    """

    code = "task.replan"

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(tuple(reasons))
        self.reasons = tuple(reasons)

    def __str__(self) -> str:
        return "the change of the plan was refused: " + "; ".join(self.reasons)


def _failed(message: str, code: str, detail: object) -> QuestionFailed:
    return QuestionFailed(message, code=code, detail=detail)
