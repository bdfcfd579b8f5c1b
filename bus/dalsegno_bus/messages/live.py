"""What is heard by whoever watches, and kept by nobody."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from dalsegno_bus.ids import RunId
from dalsegno_bus.messages.base import Failure, Json, Message
from dalsegno_bus.messages.work import Report


class AttemptStarted(Report):
    """A replica has begun to work on an attempt."""

    kind: Literal["attempt-started.v1"] = "attempt-started.v1"
    at: datetime


class Progress(Report):
    """How far an attempt is; `fraction` from 0 to 1, None where nobody can say."""

    kind: Literal["progress.v1"] = "progress.v1"
    fraction: float | None = Field(default=None, ge=0.0, le=1.0)
    message: str = ""
    at: datetime


class Output(Report):
    """A piece of an attempt's output as it comes about: tokens, lines, partial results."""

    kind: Literal["output.v1"] = "output.v1"
    number: int = Field(ge=0)
    """Of the piece, from 0: whoever misses one can tell."""
    piece: Json = None
    at: datetime


class RunChanged(Message):
    """Events were recorded for this run; `version` counts its events."""

    kind: Literal["run-changed.v1"] = "run-changed.v1"
    run_id: RunId
    version: int
    status: str
    output: Json = None
    """Set when the run has completed."""
    error: Failure | None = None


class QuestionAnswered(Message):
    """The answer to an attempt's question, on the live subject of the task that asked."""

    kind: Literal["question-answered.v1"] = "question-answered.v1"
    run_id: RunId
    task_id: str
    """Who asked."""
    question: str
    output: Json = None
    error: Failure | None = None
    """Set when nobody could answer."""


class Question(Message):
    """A question to whichever replica of an agent hears it; answered at once, never recorded."""

    kind: Literal["live-question.v1"] = "live-question.v1"
    capability: str
    input: Json = None
    asked_by: str
    """`run/task/attempt`."""
    timeout_seconds: float = Field(gt=0.0)


class LiveAnswer(Message):
    """What a replica says to a live question."""

    kind: Literal["live-answer.v1"] = "live-answer.v1"
    output: Json = None
    error: Failure | None = None
