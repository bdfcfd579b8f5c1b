"""Changes of a run's plan that its own agents ask for, through the requests that clients make too.

A change's id follows from the run, the task and what is to be changed, so that an attempt after
this one, or a second delivery of it, changes nothing twice.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from dalsegno_agents.errors import ReplanRefused
from dalsegno_agents.reports import Identity
from dalsegno_agents.values import NotJson, as_json, clean
from dalsegno_bus.bus import Bus
from dalsegno_bus.errors import RunRejected, UsageError
from dalsegno_bus.messages import Json
from dalsegno_bus.steering import Steering
from dalsegno_bus.subjects import Subjects

REPLAN_SECONDS: Final = 600.0
"""So long a change may take to be recorded; an orchestrator may have to be started first."""
ID_DIGITS: Final = 16
REASON_CHARS_MAX: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class Replan:
    """A change of what has not begun, as a handler asked for it; all values are JSON."""

    add: Mapping[str, Json] = field(default_factory=dict[str, Json])
    drop: tuple[str, ...] = ()
    change: Mapping[str, Json] = field(default_factory=dict[str, Json])
    reason: str = ""
    plan_version: int | None = None

    @classmethod
    def of(
        cls,
        *,
        add: Mapping[str, object] | None,
        drop: Sequence[str],
        change: Mapping[str, object] | None,
        reason: str,
        plan_version: int | None,
    ) -> "Replan":
        """What a handler wants, as JSON has it.

        Raises:
            UsageError: It is no change, or nothing that JSON can say.
        """
        if isinstance(drop, str):
            raise UsageError(f"drop is a list of names: `drop=[{drop!r}]`")
        if not (add or drop or change):
            raise UsageError("a change needs tasks to add, to drop or to change")
        if plan_version is not None and plan_version < 1:
            raise UsageError(f"plans are numbered from 1: there is no plan {plan_version!r}")
        try:
            return cls(
                add=as_json(dict(add or {})),
                drop=tuple(as_json(list(drop))),
                change=as_json(dict(change or {})),
                reason=clean(reason, chars_max=REASON_CHARS_MAX),
                plan_version=plan_version,
            )
        except NotJson as error:
            raise UsageError(f"a change of the plan cannot be said in JSON: {error}") from error

    @property
    def digest(self) -> str:
        """The same for the same change of the same plan, for whatever reason."""
        changes = [self.add, sorted(self.drop), self.change, self.plan_version]
        canonical = orjson.dumps(changes, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:ID_DIGITS]


class Replanning:
    """Asks for changes for all attempts of one replica; `source` stands in the requests."""

    def __init__(self, bus: Bus, subjects: Subjects, *, source: str) -> None:
        self._bus = bus
        self._subjects = subjects
        self._source = source

    async def replan(self, identity: Identity, wanted: Replan) -> None:
        """Have the attempt's run changed, and return when that is recorded.

        Raises:
            ReplanRefused: The plan would not be good; every reason.
            Unavailable: No orchestrator answered in time. The change may be made all the same.
            UsageError: It is too large for a message.
        """
        # One for each call: two attempts here may ask the same, and both are to hear the answer.
        steering = Steering(self._bus, self._subjects, source=self._source)
        try:
            await steering.replan(
                identity["run_id"],
                add=wanted.add,
                drop=wanted.drop,
                change=wanted.change,
                plan_version=wanted.plan_version,
                reason=wanted.reason,
                requested_by=f"agent:{identity['agent']}/{identity['replica']}",
                timeout_seconds=REPLAN_SECONDS,
                message_id=f"{identity['run_id']}.{identity['task_id']}.replan-{wanted.digest}",
            )
        except RunRejected as error:
            raise ReplanRefused(error.reasons) from error
