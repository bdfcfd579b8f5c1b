"""The schedules in memory: read from their streams, decided on, and armed for their next tick.

Whoever decides reads first what others have recorded, and the store refuses a fact that somebody
else was quicker with: so any number of orchestrators may hold the same schedule.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias, cast

from dalsegno_bus.errors import StoreError
from dalsegno_bus.ids import RunId, StreamId, schedule_id
from dalsegno_bus.logs import log
from dalsegno_bus.messages import (
    Accepted,
    PauseSchedule,
    Problem,
    Rejected,
    Reply,
    ResumeSchedule,
    StartRun,
)
from dalsegno_orchestrator.history import NO_DIGEST, Recorded, Sealed, seal
from dalsegno_orchestrator.registry import Registration, Registry
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.timers import Timers
from dalsegno_orchestrator.workflow.events import ScheduleSet, TickFired
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.schedule import (
    ScheduleEvent,
    ScheduleMessage,
    ScheduleState,
    ScheduleWanted,
    decide_schedule,
    evolve_schedule,
    start_of,
)

_logger = logging.getLogger("dalsegno.orchestrator")

ITSELF: Final = "orchestrator"

PartitionOf: TypeAlias = Callable[[StreamId], int]
IsKnown: TypeAlias = Callable[[RunId], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSchedule:
    """A schedule, and where its stream ends."""

    state: ScheduleState
    version: int = 0
    digest: bytes = NO_DIGEST

    @property
    def stream(self) -> StreamId:
        return schedule_id(self.state.workflow)


@dataclass(slots=True)
class ScheduleChanges:
    """What one batch decided on schedules; it counts once the batch is committed."""

    changed: dict[StreamId, HeldSchedule] = field(default_factory=dict[StreamId, HeldSchedule])
    sealed: list[Sealed] = field(default_factory=list[Sealed])
    starts: list[StartRun] = field(default_factory=list[StartRun])
    """The runs of ticks that were fired."""


class Schedules:
    """Every schedule that was ever asked about, by its stream."""

    def __init__(self, store: Store, timers: Timers, *, namespace: str) -> None:
        self._store = store
        self._timers = timers
        self._namespace = namespace
        self._held: dict[StreamId, HeldSchedule] = {}

    def __iter__(self) -> Iterator[HeldSchedule]:
        return iter(list(self._held.values()))

    def holds(self, stream: StreamId) -> bool:
        """Whether this is the stream of a schedule, as far as it is known here."""
        return stream in self._held

    def held(self, stream: StreamId) -> HeldSchedule | None:
        """The schedule, if it is in memory."""
        return self._held.get(stream)

    # --- from the store -----------------------------------------------------------------------

    def admit(self, history: Sequence[Recorded]) -> None:
        """Keep a schedule whose whole history this is. It begins with `ScheduleSet`."""
        first = history[0].event
        assert isinstance(first, ScheduleSet)
        state = ScheduleState(namespace=self._namespace, workflow=first.workflow)
        self._keep(_after(HeldSchedule(state=state), history))

    def refresh(self, stream: StreamId) -> None:
        """Read what others have recorded of it since the last look. Blocks.

        Raises:
            Unavailable: The database cannot be reached.
        """
        held = self._held.get(stream)
        if held is None:
            return
        try:
            self._keep(_after(held, self._store.read(stream, after=held.version)))
        except StoreError as error:  # one bad history must not stop the rest
            del self._held[stream]
            log(_logger, "error", "schedule_unreadable", workflow=held.state.workflow,
                reason=str(error))  # fmt: skip

    def keep_only(self, is_ours: Callable[[StreamId], bool]) -> None:
        """Forget the schedules that are somebody else's to fire."""
        for stream in [stream for stream in self._held if not is_ours(stream)]:
            del self._held[stream]
            self._timers.disarm(RunId(stream))

    def behind(self, versions: Mapping[RunId, int]) -> list[StreamId]:
        """Those held that have more events than in memory, by the index of what is open."""
        return [
            stream
            for stream, held in self._held.items()
            if held.version < versions.get(RunId(stream), 0)
        ]

    # --- deciding -----------------------------------------------------------------------------

    def decide(
        self,
        changes: ScheduleChanges,
        workflow: str,
        message: ScheduleMessage,
        *,
        now: datetime,
        by: str = ITSELF,
        cause: str = "",
    ) -> HeldSchedule:
        """Add to `changes` what follows from `message`; return the schedule after it."""
        stream = schedule_id(workflow)
        held = changes.changed.get(stream) or self._held.get(stream)
        if held is None:
            held = HeldSchedule(state=ScheduleState(namespace=self._namespace, workflow=workflow))
        events = decide_schedule(held.state, message, now)
        for event in events:
            sealed = seal(
                stream, held.version + 1, event, at=now, by=by, cause=cause, previous=held.digest
            )
            state = evolve_schedule(held.state, event, now)
            held = HeldSchedule(state=state, version=sealed.version, digest=sealed.digest)
            changes.sealed.append(sealed)
            if isinstance(event, TickFired):
                changes.starts.append(start_of(state, event.run_id))
        if events:
            changes.changed[stream] = held
        return held

    def hear(
        self,
        changes: ScheduleChanges,
        stream: StreamId,
        message: ScheduleMessage,
        *,
        now: datetime,
        by: str,
        cause: str,
    ) -> Reply | None:
        """Decide on a message, or on the time; return what a client who asked is to be told."""
        match message:
            case PauseSchedule() | ResumeSchedule():
                held = self.decide(changes, message.workflow, message, now=now, by=by, cause=cause)
                return _standing(held)
            case ScheduleWanted():
                self.decide(changes, message.workflow, message, now=now, by=by, cause=cause)
            case _:
                held = self._held.get(stream)
                if held is not None:
                    name = held.state.workflow
                    self.decide(changes, name, message, now=now, by=by, cause=cause)
        return None

    # --- after the commit ---------------------------------------------------------------------

    def index(
        self,
        changes: ScheduleChanges,
        partition_of: PartitionOf,
        opened: list[OpenRun],
        closed: list[RunId],
    ) -> None:
        """Add to what the index of open runs takes in, and to what it lets go."""
        for stream, held in changes.changed.items():
            if held.state.is_open:
                due = _next_look(held)
                opened.append(OpenRun(run_id=stream, partition=partition_of(stream), due_at=due))
            else:
                closed.append(RunId(stream))

    def committed(self, changes: ScheduleChanges, looked_at: Iterable[StreamId]) -> None:
        """Take over what was stored, and arm it; also those that were only looked at."""
        for held in changes.changed.values():
            self._keep(held)
        for stream in looked_at:
            held = self._held.get(stream)
            if held is not None:
                self._keep(held)

    def unsettled(self, *, older_than: datetime | None, besides: IsKnown) -> Iterator[StartRun]:
        """The runs of ticks that are not known to go on or to have ended: to be asked for again.

        Args:
            older_than: Only of ticks that were fired before; None: of all.
            besides: Tells whether a run is known to go on.
        """
        for held in self:
            for run_id, firing in held.state.running.items():
                if (older_than is None or firing.at < older_than) and not besides(run_id):
                    yield start_of(held.state, run_id)

    def _keep(self, held: HeldSchedule) -> None:
        self._held[held.stream] = held
        key = RunId(held.stream)
        self._timers.disarm(key)
        self._timers.arm(key, _next_look(held))


def _standing(held: HeldSchedule) -> Reply:
    state = held.state
    if state.setting is None:
        problem = Problem(
            message=f"workflow {state.workflow!r} has no schedule",
            path="workflow",
            suggestion="register a version of it that has one (schedule: {cron: …})",
        )
        return Rejected(reasons=(problem,))
    return Accepted(
        run_id=RunId(held.stream),
        workflow=state.workflow,
        version=state.workflow_version,
        status=state.status,
    )


def _after(held: HeldSchedule, news: Sequence[Recorded]) -> HeldSchedule:
    if not news:
        return held
    state = held.state
    for recorded in news:
        state = evolve_schedule(state, cast("ScheduleEvent", recorded.event), recorded.at)
    return HeldSchedule(state=state, version=news[-1].version, digest=news[-1].digest)


def _next_look(held: HeldSchedule) -> datetime | None:
    try:
        return held.state.next_look()
    except Exception as error:  # noqa: BLE001 - a time zone that is gone must not stop the rest
        log(_logger, "error", "schedule_unusable", workflow=held.state.workflow,
            reason=str(error) or repr(error))  # fmt: skip
        return None


def schedule_wanted(registry: Registry, decided: Registration | Plan) -> ScheduleWanted:
    """What the newest version of a workflow says of its schedule, with the one just registered."""
    if isinstance(decided, Plan):
        definition = decided.definition
    else:
        definition = WorkflowDefinition.parse(decided.event.definition)
    known = registry.plan(definition.workflow, None)
    if isinstance(known, Plan) and known.definition.version > definition.version:
        definition = known.definition
    return ScheduleWanted(
        workflow=definition.workflow, version=definition.version, schedule=definition.schedule
    )
