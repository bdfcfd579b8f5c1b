"""Questions that are asked before something is done: what rewinding undoes, who holds a limit."""

from typing import Annotated

from pydantic import Field

from dalsegno_projections.questions.base import ROWS_MAX, Answer, PageLimit, Question, RunRef


class AskRewindPreview(Question):
    """What would be undone if this run went back to before this task?"""

    run_id: RunRef
    task_id: Annotated[str, Field(min_length=1, max_length=256)]


class TaskUndone(Answer):
    """A task that would be as if it had never begun."""

    task_id: str
    status: str
    attempt: int
    """The newest; 0: nobody was asked yet."""
    agent: str | None


class RewindPreview(Answer):
    """What would be undone, the first begun first. The run may have gone on since."""

    run_id: str
    workflow: str
    status: str
    """How the run stands."""
    task_id: str
    undone: list[TaskUndone]
    more: bool
    """Whether tasks had to be left out to fit into an answer."""


class AskLimitUse(Question):
    """What is taken of this limit now, and by whom?"""

    limit: Annotated[str, Field(min_length=1, max_length=256)]
    """`capability:<name>`, `quota:<name>` or `workflow:<name>`."""
    holders: PageLimit = ROWS_MAX


class LimitHolder(Answer):
    """An attempt that has taken of a limit."""

    run_id: str
    task_id: str
    attempt: int
    amount: float
    taken_at: str


class LimitUse(Answer):
    """What is taken of a limit. The oldest first."""

    limit: str
    amount: float
    """Of all attempts under way."""
    begun: float
    """What was taken within the time of its rate; 0 where no rate is set."""
    holders: list[LimitHolder]
    more: bool
