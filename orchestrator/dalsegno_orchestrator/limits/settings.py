"""The limits that are set for capabilities and quotas: facts in one stream of the event store.

What workflows declare of themselves is not among them. It knows nothing of what is taken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from dalsegno_bus.ids import LIMITS
from dalsegno_bus.messages import Problem, SetLimit
from dalsegno_orchestrator.history import NO_DIGEST
from dalsegno_orchestrator.storage.permits import Cap
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import LimitRemoved, LimitSet
from dalsegno_orchestrator.workflow.grammar.terms import CapabilityName, QuotaName

_NAMES: Final[Mapping[str, TypeAdapter[str]]] = {
    "capability": TypeAdapter(CapabilityName),
    "quota": TypeAdapter(QuotaName),
}
SHOWN_MAX: Final = 80
"""So many characters of what is no limit are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """A change of a limit on its way into the store: the event and its place in the stream."""

    event: LimitSet | LimitRemoved
    version: int
    previous: bytes
    stream: UUID = LIMITS


class LimitSettings:
    """The limits that are set. Methods block where they read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._caps: dict[str, Cap] = {}
        self.version = 0
        """How many facts were read."""
        self._digest = NO_DIGEST
        self._changed: set[str] = set()

    def cap(self, limit: str) -> Cap | None:
        """What is set for `capability:…` or `quota:…`; None: nothing is."""
        return self._caps.get(limit)

    @property
    def has_news(self) -> bool:
        """Whether `changed` has anything to tell."""
        return bool(self._changed)

    def changed(self) -> set[str]:
        """Limits that were set or removed, since this was asked."""
        found, self._changed = self._changed, set()
        return found

    def decide(self, message: SetLimit) -> LimitChange | list[Problem] | None:
        """What follows from asking for this: a change, nothing (it is so already), or faults.

        Blocks. Whoever stores the change calls `read` after that.
        """
        problems = _problems(message)
        if problems:
            return problems
        self.read()
        known = self._caps.get(message.limit)
        if message.concurrency is None and message.rate is None:
            if known is None:
                return None
            event: LimitSet | LimitRemoved = LimitRemoved(limit=message.limit)
        else:
            event = LimitSet(
                limit=message.limit,
                concurrency=message.concurrency,
                rate=message.rate,
                rate_seconds=message.rate_seconds,
            )
            if known == _cap_of(event):
                return None
        return LimitChange(event=event, version=self.version + 1, previous=self._digest)

    def read(self) -> None:
        """Read what was set since the last look, here or by another orchestrator. Blocks."""
        for recorded in self._store.read(LIMITS, after=self.version):
            self.version, self._digest = recorded.version, recorded.digest
            event = recorded.event
            if isinstance(event, LimitSet):
                self._caps[event.limit] = _cap_of(event)
            elif isinstance(event, LimitRemoved):
                self._caps.pop(event.limit, None)
            else:
                continue
            self._changed.add(event.limit)


def _cap_of(event: LimitSet) -> Cap:
    return Cap(
        limit=event.limit,
        concurrency=event.concurrency,
        rate=event.rate,
        rate_seconds=event.rate_seconds,
    )


def _problems(message: SetLimit) -> list[Problem]:
    kind, _, name = message.limit.partition(":")
    if kind == "workflow":
        return [
            Problem(
                message=f"{message.limit} is set by the workflow itself",
                path="limit",
                suggestion="write limits: {concurrency: …} into its definition",
            )
        ]
    if kind not in _NAMES:
        return [
            Problem(
                message=f"{message.limit[:SHOWN_MAX]!r} is no limit",
                path="limit",
                suggestion="use capability:<name> or quota:<name>",
            )
        ]
    try:
        _NAMES[kind].validate_python(name)
    except ValidationError as error:
        return [Problem(message=error.errors()[0]["msg"], path="limit")]
    return []
