"""What every message is, and the small models that messages are made of."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dalsegno_bus.ids import RunId

Json: TypeAlias = Any
"""A value as JSON has it: the payload of a user, which only that user's models check."""

Labels: TypeAlias = Mapping[str, str]


class Message(BaseModel):
    """Base of what travels: never changed, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Artifact(Message):
    """A large value outside the history: content-addressed, so equal bytes are one artifact."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=0)
    media_type: str = "application/octet-stream"
    name: str | None = None
    """A file name for people; not part of the identity."""


class Problem(Message):
    """One thing that is wrong with what a person wrote, where, and what to do about it."""

    message: str
    path: str = ""
    """Where in the document, dotted: `tasks.analyze.timeout`."""
    line: int | None = None
    column: int | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line is not None else ""
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.suggestion})" if self.suggestion else ""
        return f"{place}{path}{self.message}{hint}"


class Usage(Message):
    """What an attempt cost, as its agent counts it."""

    usd: float = Field(default=0.0, ge=0.0)
    tokens: int = Field(default=0, ge=0)


class Failure(Message):
    """Why something failed: a stable code for programs, a sentence for people."""

    code: str
    message: str
    detail: Json = None


class ParentRun(Message):
    """What a run was started by: a task of another run, or a schedule (`task_id` is empty)."""

    run_id: RunId
    task_id: str = ""
    attempt: int = Field(default=0, ge=0)
    depth: int = Field(default=1, ge=1)
    """How many runs are above the new one."""
