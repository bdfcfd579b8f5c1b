"""What a handler may return beside its output, and what it may find of those before it."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dalsegno_bus.messages import Json


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Handoff(_Frozen):
    """Returned by a handler: somebody else shall do this task, from this input.

    The task goes on with an agent that has `capability`, and its output is what that one returns.
    Annotate the handler `-> Model | Handoff`, or `-> Handoff` if it never answers itself.
    """

    capability: str = Field(min_length=1)
    input: Any = None
    """A pydantic model, or what JSON can say."""
    reason: str = ""
    """For people; it stands in the history."""


class Plan(_Frozen):
    """What the handler of a `dynamic` task returns: tasks that the run does next.

    Each is written as in a workflow file and may refer to tasks that are there (`tasks.gather`), to
    others of the plan, and to the run's `input` and `context`:

        Plan(
            tasks={
                "read": {"capability": "books.read", "input": {"year": "${ input.year }"}},
                "sum": {"capability": "books.sum", "input": {"rows": "${ tasks.read.rows }"}},
            },
            output={"total": "${ tasks.sum.total }"},
        )

    The plan is checked as a whole. A bad one is refused with every reason, which the next attempt
    finds in `context.last_failure`.
    """

    tasks: dict[str, dict[str, Any]]
    """By name, which no task of the run may have."""
    output: Any = None
    """What the dynamic task gives when all are done; None: each task's output by its name."""


class LastProgress(_Frozen):
    """What an attempt told last of how far it was, with what it takes to go on from there."""

    fraction: float | None = None
    """From 0 to 1."""
    message: str = ""
    state: Any = None
    """Whatever the handler gave with it, as JSON has it."""

    @classmethod
    def read(cls, told: Json) -> Self | None:
        """From a command; None: nothing was told, or nothing that can be read."""
        try:
            return None if told is None else cls.model_validate(told)
        except ValidationError:
            return None
