"""Why an attempt failed, told from what came out of its handler: a code, a sentence, what next."""

import asyncio
import math
import traceback
from typing import Final

from dalsegno_agents.errors import QuestionFailed, ReplanRefused
from dalsegno_agents.values import NotJson, as_json, clean
from dalsegno_bus.errors import ArtifactMissing, TaskRejected, TaskRetry
from dalsegno_bus.messages import Failure, Json

MESSAGE_CHARS_MAX: Final = 2_000
TRACEBACK_CHARS_MAX: Final = 8_000
"""The end of a traceback says most."""
CANCELLED: Final = "task.cancelled"


def explain(
    error: BaseException, capability: str, *, limit_seconds: float | None = None
) -> tuple[Failure, bool, float | None]:
    """The failure for the report, whether to retry, and not before how many seconds.

    Args:
        error: What came out of the handler.
        capability: Whose handler it was.
        limit_seconds: The time that it had, if it was ended for taking longer.
    """
    if limit_seconds is not None:
        message = f"the handler of {capability!r} did not end within {limit_seconds} s"
        return Failure(code="task.timeout", message=message), True, None
    match error:
        case TaskRejected():
            code = clean(error.reason_code, chars_max=MESSAGE_CHARS_MAX)
            return Failure(code=code, message=_text(error), detail=_detail(error)), False, None
        case TaskRetry():
            code = clean(error.reason_code, chars_max=MESSAGE_CHARS_MAX)
            return Failure(code=code, message=_text(error)), True, _pause(error.after_seconds)
        case QuestionFailed():
            failure = Failure(
                code=error.code,
                message=_text(error),
                detail={"code": error.reason_code, "detail": _detail(error)},
            )
            return failure, True, None
        case ReplanRefused():
            reasons = [clean(each, chars_max=MESSAGE_CHARS_MAX) for each in error.reasons]
            failure = Failure(code=error.code, message=_text(error), detail={"reasons": reasons})
            return failure, True, None
        case ArtifactMissing():
            return Failure(code=error.code, message=_text(error)), True, None
        case NotJson():
            message = clean(
                f"the output of {capability!r} does not fit: {error}", chars_max=MESSAGE_CHARS_MAX
            )
            return Failure(code="task.output", message=message), False, None
        case _:
            trace = "".join(traceback.format_exception(error))[-TRACEBACK_CHARS_MAX:]
            failure = Failure(
                code="task.exception",
                message=_exception(error),
                detail=clean(trace, chars_max=TRACEBACK_CHARS_MAX),
            )
            return failure, True, None


def cancelled(reason: str, error: BaseException | None = None) -> Failure:
    """The failure of an attempt that nobody waits for any more.

    Args:
        reason: Why it was cancelled.
        error: How it ended, if not by being cancelled.
    """
    message = f"cancelled: {reason}" if reason else "cancelled"
    if error is not None and not isinstance(error, asyncio.CancelledError):
        message = f"{message}; it ended with {_exception(error)}"
    return Failure(code=CANCELLED, message=clean(message, chars_max=MESSAGE_CHARS_MAX))


def _text(error: BaseException) -> str:
    return clean(str(error), chars_max=MESSAGE_CHARS_MAX)


def _exception(error: BaseException) -> str:
    """`Type: text`, also of an exception that cannot say what it is."""
    text = "".join(traceback.format_exception_only(error)).strip()
    return clean(text, chars_max=MESSAGE_CHARS_MAX)


def _detail(error: TaskRejected | QuestionFailed) -> Json:
    try:
        detail = as_json(error.detail)
    except NotJson:
        return clean(repr(error.detail), chars_max=MESSAGE_CHARS_MAX)
    return detail


def _pause(after_seconds: float | None) -> float | None:
    if after_seconds is None or not math.isfinite(after_seconds):
        return None
    return max(0.0, after_seconds)
