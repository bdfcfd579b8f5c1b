"""The words of the grammar: names, labels, durations, rates, each with the range it may have.

What does not fit is told in a sentence (`shape.Unfit`), with a suggestion where there is one.
"""

import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import is_token
from dalsegno_orchestrator.workflow.grammar.durations import parse_duration
from dalsegno_orchestrator.workflow.grammar.shape import Unfit

NAME_CHARACTERS_MAX: Final = 64
LABEL_CHARACTERS_MAX: Final = 256
_TASK_ID: Final = re.compile(r"[a-z][a-z0-9_]*")
_CAPABILITY: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*")
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RATE: Final = re.compile(r"(?P<count>\d+(\.\d+)?)\s*/\s*(?P<unit>s|m|h|d)")
_RATE_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIGNAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _workflow_name(text: str) -> str:
    better = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return _name(
        text, "a workflow's name", "[a-z0-9][a-z0-9_-]*", fits=is_token(text), better=better
    )


def _task_id(text: str) -> str:
    better = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_0123456789")
    fits = _TASK_ID.fullmatch(text) is not None
    return _name(text, "a task's name", "[a-z][a-z0-9_]*", fits=fits, better=better)


def _agent_name(text: str) -> str:
    better = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return _name(text, "an agent's name", "[a-z0-9][a-z0-9_-]*", fits=is_token(text), better=better)


def _capability(text: str) -> str:
    fits = _CAPABILITY.fullmatch(text) is not None
    pattern = "a dotted name such as finance.analyze"
    return _name(text, "a capability", pattern, fits=fits)


def _signal_name(text: str) -> str:
    fits = _SIGNAL.fullmatch(text) is not None
    return _name(text, "a signal's name", "[A-Za-z0-9][A-Za-z0-9_.-]*", fits=fits)


def _label_name(text: str) -> str:
    fits = _LABEL.fullmatch(text) is not None
    return _name(text, "a label's name", "[A-Za-z0-9][A-Za-z0-9_./-]*", fits=fits)


def _label_value(text: str) -> str:
    if len(text) > LABEL_CHARACTERS_MAX:
        raise Unfit(f"a label has at most {LABEL_CHARACTERS_MAX} characters, not {len(text)}")
    return text


def _name(text: str, what: str, pattern: str, *, fits: bool, better: str = "") -> str:
    if fits and len(text) <= NAME_CHARACTERS_MAX:
        return text
    if fits:
        raise Unfit(f"{what} has at most {NAME_CHARACTERS_MAX} characters, not {len(text)}")
    suggestion = f"for example {better[:NAME_CHARACTERS_MAX]!r}" if better else None
    raise Unfit(f"{text!r} does not fit: {what} must match {pattern}", suggestion)


def _quota_name(text: str) -> str:
    better = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return _name(text, "a quota's name", "[a-z0-9][a-z0-9_-]*", fits=is_token(text), better=better)


def _context_key(text: str) -> str:
    fits = _KEY.fullmatch(text) is not None
    return _name(text, "a key of the shared context", "[A-Za-z_][A-Za-z0-9_]*", fits=fits)


def _expression(value: object) -> object:
    if isinstance(value, str):
        return value
    raise Unfit("it must be an expression", "as ${ size(input.items) > 0 }")


def _rate(text: str) -> str:
    parse_rate(text)
    return text


def parse_rate(text: str) -> tuple[float, float]:
    """How many, in how many seconds: `100/m` is (100, 60).

    Raises:
        Unfit: It is not written like that.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None or float(found["count"]) <= 0:
        raise Unfit(f"{text!r} is no rate", "write a number and a time, such as 100/m or 5/s")
    return float(found["count"]), _RATE_SECONDS[found["unit"]]


def _duration(value: object) -> float:
    if value is None:
        raise Unfit("it is empty; write a duration such as 10s, or leave the key out")
    try:
        return parse_duration(value)
    except UsageError as error:
        raise Unfit(str(error)) from None


def positive_duration(value: object) -> float:
    """Seconds, more than 0; raises `Unfit` for what is none."""
    seconds = _duration(value)
    if seconds == 0:
        raise Unfit("it must be longer than 0; leave the key out if there is no limit")
    return seconds


Duration: TypeAlias = Annotated[float, BeforeValidator(_duration)]
"""Seconds, 0 or more; written as text with units or as a number."""

PositiveDuration: TypeAlias = Annotated[float, BeforeValidator(positive_duration)]
"""Seconds, more than 0."""

Whole: TypeAlias = Annotated[int, Strict()]
Number: TypeAlias = Annotated[float, Strict()]
Share: TypeAlias = Annotated[Number, Field(ge=0.0, le=1.0)]
TaskName: TypeAlias = Annotated[str, AfterValidator(_task_id)]
WorkflowName: TypeAlias = Annotated[str, AfterValidator(_workflow_name)]
AgentName: TypeAlias = Annotated[str, AfterValidator(_agent_name)]
CapabilityName: TypeAlias = Annotated[str, AfterValidator(_capability)]
SignalName: TypeAlias = Annotated[str, AfterValidator(_signal_name)]
QuotaName: TypeAlias = Annotated[str, AfterValidator(_quota_name)]
ContextKey: TypeAlias = Annotated[str, AfterValidator(_context_key)]
Expression: TypeAlias = Annotated[str, BeforeValidator(_expression)]
"""A text that is exactly one `${ … }`."""

RateText: TypeAlias = Annotated[str, AfterValidator(_rate)]
"""So many in such a time: `100/m`."""
LabelMap: TypeAlias = dict[
    Annotated[str, AfterValidator(_label_name)], Annotated[str, AfterValidator(_label_value)]
]


class Frozen(BaseModel):
    """Base of what a definition is made of: never changed, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
