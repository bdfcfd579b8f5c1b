"""How the projections are asked: every kind of question by its name, and `ask`.

The same table serves the command line and the service, so that neither knows a kind of its own.
"""

from typing import Any, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.codec import encode, readable
from dalsegno_bus.errors import BusError, DalsegnoError, SettingsError, Unavailable, UsageError
from dalsegno_bus.messages import RunChanged
from dalsegno_bus.subjects import Subjects
from dalsegno_projections import questions as q

ANSWER_SECONDS: Final = 10.0

QuestionT = TypeVar("QuestionT", bound=q.Question)
AnswerT = TypeVar("AnswerT", bound=BaseModel)


class Query(Generic[QuestionT, AnswerT]):
    """A kind of question: its name on the wire, what is asked, what is answered."""

    def __init__(self, name: str, question: type[QuestionT], answer: type[AnswerT]) -> None:
        self.name = name
        self.question = question
        self.answer = answer


RUN: Final = Query("run", q.AskRun, RunChanged)
RUN_DETAIL: Final = Query("run-show", q.AskRunDetail, q.RunDetail)
RUNS: Final = Query("runs", q.AskRuns, q.RunList)
HISTORY: Final = Query("history", q.AskHistory, q.History)
STATE: Final = Query("state", q.AskState, q.StateThen)
AUDIT: Final = Query("audit", q.AskAudit, q.Audit)
AGENTS: Final = Query("agents", q.AskAgents, q.AgentList)
WORKFLOWS: Final = Query("workflows", q.AskWorkflows, q.WorkflowList)
SCHEDULES: Final = Query("schedules", q.AskSchedules, q.ScheduleList)
LIMITS: Final = Query("limits", q.AskLimits, q.LimitList)
LIMIT_USE: Final = Query("limit-use", q.AskLimitUse, q.LimitUse)
REWIND_PREVIEW: Final = Query("rewind-preview", q.AskRewindPreview, q.RewindPreview)
LAG: Final = Query("lag", q.AskLag, q.Lag)
PARKED: Final = Query("parked", q.AskParked, q.ParkedList)
TRACE: Final = Query("trace", q.AskTrace, q.TraceSent)


QUERIES: Final[tuple[Query[Any, Any], ...]] = (
    RUN,
    RUN_DETAIL,
    RUNS,
    HISTORY,
    STATE,
    AUDIT,
    AGENTS,
    WORKFLOWS,
    SCHEDULES,
    LIMITS,
    LIMIT_USE,
    REWIND_PREVIEW,
    LAG,
    PARKED,
    TRACE,
)

_REFUSED: Final[TypeAdapter[q.Refused]] = TypeAdapter(q.Refused)
_ERRORS: Final[dict[str, type[DalsegnoError]]] = {
    SettingsError.code: SettingsError,
    Unavailable.code: Unavailable,
    BusError.code: BusError,
}


async def ask(
    bus: Bus,
    subjects: Subjects,
    query: Query[QuestionT, AnswerT],
    question: QuestionT,
    *,
    timeout_seconds: float = ANSWER_SECONDS,
) -> AnswerT:
    """Ask the projections, and return what they answer.

    Raises:
        UsageError: They refuse: there is no such run, say.
        SettingsError: They lack a setting for this.
        Unavailable: No projections service answers, or it cannot reach its databases.
        BusError: The answer is not one that this version knows.
    """
    heard = await bus.ask(
        Outgoing(subjects.query(query.name), encode(question)), timeout_seconds=timeout_seconds
    )
    try:
        return query.answer.model_validate(orjson.loads(heard.body))
    except (ValidationError, orjson.JSONDecodeError) as error:
        raise _refusal(heard.body, error) from error


def _refusal(body: bytes, error: ValidationError | ValueError) -> DalsegnoError:
    try:
        refusal = _REFUSED.validate_json(body).error
    except ValidationError:
        reason = readable(error) if isinstance(error, ValidationError) else str(error)
        return BusError(f"the projections gave an answer that is not understood: {reason}")
    return _ERRORS.get(refusal.code, UsageError)(refusal.message)
