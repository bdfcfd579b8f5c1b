"""What is wrong with the head of a workflow: its budget, limits, weights and schedule.

Works on the document as it was written; what has the wrong shape is passed over, because the model
names it anyway. Time zones are those that this machine knows.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, cast
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.checking.tasks import schema_problems
from dalsegno_orchestrator.workflow.grammar.policies import Weights
from dalsegno_orchestrator.workflow.grammar.schema import InputSchema, SchemaInvalid
from dalsegno_orchestrator.workflow.grammar.shape import did_you_mean

BUDGET_SIGNAL: Final = "budget"
"""What answers a run that asks whether it may cost more."""

_SPENDABLE: Final = ("usd", "tokens", "tasks", "time")
_LIMITS: Final = ("concurrency", "rate")
_CRON_FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")


def head_problems(document: Mapping[str, Json]) -> Iterator[Problem]:
    """All that is wrong with what is said of the workflow as a whole, except expressions."""
    yield from schema_problems(("input",), document.get("input"))
    budget, limits = _mapping(document.get("budget")), _mapping(document.get("limits"))
    if budget is not None and all(budget.get(key) is None for key in _SPENDABLE):
        yield Problem(
            message="this budget limits nothing",
            path="budget",
            suggestion=f"give it at least one of {', '.join(_SPENDABLE)}, or remove it",
        )
    if limits is not None and all(limits.get(key) is None for key in _LIMITS):
        yield Problem(
            message="nothing is limited here",
            path="limits",
            suggestion=f"give it at least one of {', '.join(_LIMITS)}, or remove it",
        )
    weights = {**Weights().model_dump(), **(_mapping(document.get("assignment")) or {})}
    if all(weight == 0 for weight in weights.values()):
        yield Problem(
            message="every weight is 0, so all agents would be alike",
            path="assignment",
            suggestion="give at least one of them more than 0",
        )
    schedule = _mapping(document.get("schedule"))
    if schedule is not None:
        yield from _schedule_problems(schedule, document.get("input"))


def asks_for_money(document: Mapping[str, Json]) -> bool:
    """Whether runs wait for the signal `budget` when they have cost too much."""
    return (_mapping(document.get("budget")) or {}).get("on_exceeded") == "ask"


def _schedule_problems(schedule: Mapping[str, Json], schema: Json) -> Iterator[Problem]:
    cron, zone = schedule.get("cron"), schedule.get("timezone")
    if isinstance(cron, str):
        yield from _cron_problems(cron)
    if isinstance(zone, str) and not _is_zone(zone):
        near = did_you_mean(zone, {name.lower(): name for name in available_timezones()})
        yield Problem(
            message=f"there is no time zone {zone!r}",
            path="schedule.timezone",
            suggestion=_as_written(near) or "use an IANA name, such as Europe/Berlin",
        )
    if isinstance(schema, Mapping):
        try:
            checked = InputSchema(cast("Mapping[str, Json]", schema), root="schedule.input")
        except SchemaInvalid:
            return  # named where it stands
        for problem in checked.problems(schedule.get("input", {})):
            yield problem.model_copy(
                update={
                    "message": f"a scheduled run could not start: {problem.message}",
                    "suggestion": "let schedule.input fit the schema in input",
                }
            )


def _cron_problems(cron: str) -> Iterator[Problem]:
    fields = cron.split()
    if len(fields) != len(_CRON_FIELDS):
        yield Problem(
            message=f"{cron!r} has {len(fields)} fields, and cron needs {len(_CRON_FIELDS)}",
            path="schedule.cron",
            suggestion=f"write {', '.join(_CRON_FIELDS)}, such as 0 6 * * 1",
        )
        return
    try:
        CronSim(cron, datetime(2000, 1, 1))  # noqa: DTZ001 - any moment will do to read it
    except CronSimError as error:
        wrong = str(error).removeprefix("Bad ").replace("-", " ")
        known = dict(zip(_CRON_FIELDS, fields, strict=True))
        shown = f" ({known[wrong]})" if wrong in known else ""
        yield Problem(
            message=f"{cron!r} is no cron expression: its {wrong}{shown} is wrong",
            path="schedule.cron",
            suggestion=_RANGES.get(wrong, "see man 5 crontab"),
        )


_RANGES: Final = {
    "minute": "minutes go from 0 to 59",
    "hour": "hours go from 0 to 23",
    "day of month": "days go from 1 to 31, as far as the month has them; L is the last",
    "month": "months go from 1 to 12, or JAN to DEC",
    "day of week": "days go from 0 (Sunday) to 7, or SUN to SAT",
}


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; no name at all; a part of a name
        return False
    return True


def _as_written(near: str | None) -> str | None:
    """The suggestion with the capitals of the zone's name."""
    if near is None:
        return None
    for name in available_timezones():
        if f"'{name.lower()}'" in near:
            return f"did you mean {name!r}?"
    return near


def _mapping(value: Json) -> Mapping[str, Json] | None:
    return cast("Mapping[str, Json]", value) if isinstance(value, Mapping) else None
