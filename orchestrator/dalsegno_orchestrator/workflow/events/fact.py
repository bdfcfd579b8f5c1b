"""What every fact is, and the small records that facts are made of."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from dalsegno_bus.ids import RunId


class Fact(BaseModel):
    """Base of what is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]


class Candidate(Fact):
    """An agent that could have had a task, as it stood when the choice was made."""

    kind: ClassVar[str] = "candidate"
    agent: str
    score: float
    """0 to 1; the highest wins (see `assignment`)."""
    open_attempts: int = 0
    live: bool = True
    parts: dict[str, float] | None = None
    """What the score is made of, each from 0 to 1; left out where there was only one candidate."""


class Abandoned(Fact):
    """An attempt that nobody waits for any more."""

    kind: ClassVar[str] = "abandoned"
    task_id: str
    attempt: int
    agent: str


class Permit(Fact):
    """A share of a limit."""

    kind: ClassVar[str] = "permit"
    limit: str
    """`capability:<name>`, `workflow:<name>` or `quota:<name>`."""
    amount: float = 1.0


class Parent(Fact):
    """What a run was started by, and reports its end to."""

    kind: ClassVar[str] = "parent"
    run_id: RunId
    """A run; or the stream of a schedule, and then `task_id` is empty."""
    task_id: str = ""
    attempt: int = 0
    depth: int = 1
    """How many runs are above it."""
