"""Every error that Dalsegno raises on purpose.

* DalsegnoError
  - UsageError           the caller's mistake; change the call, never retry
  - SettingsError        a setting is missing or wrong; names the variable
  - Unavailable          a server cannot be reached; start it or wait
  - BusError
    - PublishFailed      the stream did not confirm; publish again, same id
    - DecodeFailed       bytes are not a known message; goes to the dead letters
  - StoreError
    - VersionConflict    somebody appended first; read again and decide again
    - LimitsExceeded     somebody took the last of a limit; look what stands and decide again
  - ArtifactMissing      a reference points at nothing; the store was emptied or is another one
  - RunRejected          the orchestrator refused a request, with every reason
  - TaskError            raised by an agent's handler
    - TaskRejected       final: the task can never succeed as asked
    - TaskRetry          try again, not before `after_seconds`
"""

from collections.abc import Sequence
from typing import ClassVar


class DalsegnoError(Exception):
    """Root of the tree. `code` is stable: programs and help pages may rely on it."""

    code: ClassVar[str] = "dalsegno"


class UsageError(DalsegnoError):
    """The caller's mistake; change the call, never retry."""

    code = "usage"


class SettingsError(DalsegnoError):
    """A setting is missing or wrong; the message names the variable and what it may be."""

    code = "settings"


class Unavailable(DalsegnoError):
    """A server cannot be reached; start it, or wait and try again."""

    code = "unavailable"


class BusError(DalsegnoError):
    """Something between two processes went wrong."""

    code = "bus"


class PublishFailed(BusError):
    """The stream did not confirm; publish again, with the same id."""

    code = "bus.publish"


class DecodeFailed(BusError):
    """Bytes are not a message of this contract; they go to the dead letters."""

    code = "bus.decode"


class StoreError(DalsegnoError):
    """The event store could not do what was asked."""

    code = "store"


class VersionConflict(StoreError):
    """Somebody appended first; read again and decide again. Nothing was written."""

    code = "store.version"


class LimitsExceeded(StoreError):
    """Somebody took the last of a limit; look what stands and decide again. Nothing was written."""

    code = "store.limits"


class ArtifactMissing(DalsegnoError):
    """A reference points at nothing: the artifact store was emptied, or is another one."""

    code = "artifact.missing"


class RunRejected(DalsegnoError):
    """The orchestrator refused a request; `reasons` lists every one, readable."""

    code = "run.rejected"

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(tuple(reasons))
        self.reasons = tuple(reasons)

    def __str__(self) -> str:
        return "; ".join(self.reasons)


class TaskError(DalsegnoError):
    """Raised by an agent's handler to say how its task ended."""

    code = "task"


class TaskRejected(TaskError):
    """Final: the task can never succeed as asked. `detail` is JSON for whoever has to mend it."""

    code = "task.rejected"

    def __init__(self, message: str, *, code: str = "task.rejected", detail: object = None) -> None:
        super().__init__(message)
        self.reason_code = code
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return (_rejected, (str(self), self.reason_code, self.detail))


class TaskRetry(TaskError):
    """Try again, not before `after_seconds` (0 or more; None leaves it to the task's policy)."""

    code = "task.retry"

    def __init__(
        self, message: str, *, after_seconds: float | None = None, code: str = "task.retry"
    ) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
        self.reason_code = code

    def __reduce__(self) -> tuple[object, ...]:
        return (_retry, (str(self), self.after_seconds, self.reason_code))


def _rejected(message: str, code: str, detail: object) -> TaskRejected:
    return TaskRejected(message, code=code, detail=detail)


def _retry(message: str, after_seconds: float | None, code: str) -> TaskRetry:
    return TaskRetry(message, after_seconds=after_seconds, code=code)
