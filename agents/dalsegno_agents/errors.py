"""The errors that only agents know; all others stand in `dalsegno_bus.errors`."""

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


def _failed(message: str, code: str, detail: object) -> QuestionFailed:
    return QuestionFailed(message, code=code, detail=detail)
