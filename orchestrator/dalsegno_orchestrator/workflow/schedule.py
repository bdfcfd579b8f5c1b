"""When a workflow's runs are started by the clock: its schedule, decided and folded. No effects.

A schedule is a stream of its own. Every tick of its cron line ends in one fact: its run is started
(`TickFired`), it waits for the run before (`TickQueued`), or there is no run, and why
(`TickSkipped`). A run's id follows from its tick, so that starting it again is starting it once.

A tick is a moment of the wall clock in the schedule's time zone. One that falls into the hour that
is left out in spring comes once, right after that hour; one in the hour that comes twice in autumn
comes once, the first time. A `*` for the minute or the hour counts real hours instead: it has no
tick in an hour that does not exist, and its ticks in both of the doubled ones.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final, TypeAlias, assert_never
from zoneinfo import ZoneInfo

from cronsim import CronSim

from dalsegno_bus.ids import RunId, schedule_id, tick_run_id
from dalsegno_bus.messages import (
    ChildOver,
    ParentRun,
    PauseSchedule,
    ResumeSchedule,
    StartRun,
)
from dalsegno_orchestrator.workflow.events import (
    ScheduledRunEnded,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSet,
    TickFired,
    TickQueued,
    TickSkipped,
)
from dalsegno_orchestrator.workflow.facts import TimeReached
from dalsegno_orchestrator.workflow.grammar.policies import Schedule

LATE_SECONDS: Final = 60.0
"""A tick that nobody saw for so long is late; after that it was missed."""
CATCHUP_MAX: Final = 1_000
"""So many missed ticks are made up for, the newest ones."""
QUEUE_MAX: Final = 1_000
"""So many ticks wait for the run before them."""

MISSED: Final = "nobody was there to start it in time"
PAUSED: Final = "the schedule was paused"
REMOVED: Final = "the schedule was removed before its turn came"

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_MADE_UP_FOR: Final = {"none": 0, "one": 1, "all": CATCHUP_MAX}

ScheduleEvent: TypeAlias = (
    ScheduleSet
    | ScheduleRemoved
    | SchedulePaused
    | ScheduleResumed
    | TickFired
    | TickQueued
    | TickSkipped
    | ScheduledRunEnded
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleWanted:
    """What the newest version of a workflow says of its schedule; None: it has none."""

    workflow: str
    version: int
    schedule: Schedule | None


ScheduleMessage: TypeAlias = (
    ScheduleWanted | PauseSchedule | ResumeSchedule | ChildOver | TimeReached
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A tick whose run is not known to have ended."""

    tick: datetime
    at: datetime
    """When it was recorded."""
    setting: ScheduleSet
    """The schedule as it was then: the run is started with that version and input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """A schedule after its events. All ticks up to `decided_until` have had their fact."""

    namespace: str
    workflow: str
    setting: ScheduleSet | None = None
    """None: it was never set, or removed."""
    workflow_version: int = 0
    """The version that set or removed it; an older one changes nothing any more."""
    is_paused: bool = False
    decided_until: datetime = _NEVER
    queue: tuple[datetime, ...] = ()
    running: Mapping[RunId, Firing] = field(default_factory=dict[RunId, Firing])

    @property
    def is_open(self) -> bool:
        """Whether anything may still come of it."""
        return self.setting is not None or bool(self.running)

    @property
    def status(self) -> str:
        """`active`, `paused` or `removed`."""
        if self.setting is None:
            return "removed"
        return "paused" if self.is_paused else "active"

    def next_look(self) -> datetime | None:
        """The next tick that has to be decided on (UTC); None: only a message moves it."""
        if self.setting is None or self.is_paused:
            return None
        return next(ticks(self.setting.cron, self.setting.timezone, after=self.decided_until), None)


def ticks(cron: str, timezone: str, *, after: datetime) -> Iterator[datetime]:
    """The ticks later than `after`, in UTC and rising; it ends only where 50 years have none.

    Args:
        cron: Five fields.
        timezone: An IANA name.
        after: Any moment with a time zone.
    """
    last = after
    for local in CronSim(cron, after.astimezone(ZoneInfo(timezone))):
        tick = local.astimezone(UTC)
        if tick > last:  # a wall clock that was put back would bring some again
            last = tick
            yield tick


def decide_schedule(
    state: ScheduleState, message: ScheduleMessage, now: datetime
) -> list[ScheduleEvent]:
    """The facts that follow from a message, or from the time being `now`; none if nothing does."""
    decision = _Decision(state, now)
    match message:
        case ScheduleWanted():
            decision.wanted(message)
        case PauseSchedule():
            decision.paused(message)
        case ResumeSchedule():
            decision.resumed()
        case ChildOver():
            decision.ended(message)
        case TimeReached():
            decision.pass_time()
        case _:
            assert_never(message)
    return decision.events


def evolve_schedule(state: ScheduleState, event: ScheduleEvent, at: datetime) -> ScheduleState:
    """Fold one fact, recorded at `at`, into the state. Checks nothing: it has happened."""
    match event:
        case ScheduleSet():
            return replace(
                state,
                setting=event,
                workflow_version=event.workflow_version,
                decided_until=max(state.decided_until, at),
            )
        case ScheduleRemoved():
            return replace(state, setting=None, workflow_version=event.workflow_version, queue=())
        case SchedulePaused():
            return replace(state, is_paused=True)
        case ScheduleResumed():
            return replace(state, is_paused=False)
        case TickFired():
            assert state.setting is not None
            firing = Firing(tick=event.tick, at=at, setting=state.setting)
            return replace(
                state,
                running={**state.running, event.run_id: firing},
                queue=tuple(tick for tick in state.queue if tick != event.tick),
                decided_until=max(state.decided_until, event.tick),
            )
        case TickQueued():
            queue = (*state.queue, event.tick)
            return replace(state, queue=queue, decided_until=max(state.decided_until, event.tick))
        case TickSkipped():
            last = event.last or event.tick
            queue = tuple(tick for tick in state.queue if not event.tick <= tick <= last)
            return replace(state, queue=queue, decided_until=max(state.decided_until, last))
        case ScheduledRunEnded():
            running = {key: one for key, one in state.running.items() if key != event.run_id}
            return replace(state, running=running)
        case _:
            assert_never(event)


def start_of(state: ScheduleState, run_id: RunId) -> StartRun:
    """The request that a fired tick stands for; the same tick, the same request."""
    firing = state.running[run_id]
    return StartRun(
        run_id=run_id,
        workflow=state.workflow,
        version=firing.setting.workflow_version,
        input=firing.setting.input,
        labels={"schedule": state.workflow, "tick": firing.tick.isoformat()},
        requested_by=f"schedule:{state.workflow}",
        parent=ParentRun(run_id=RunId(schedule_id(state.workflow))),
    )


class _Decision:
    """One decision under way: its facts, and the state after them."""

    def __init__(self, state: ScheduleState, now: datetime) -> None:
        self.state = state
        self.events: list[ScheduleEvent] = []
        self._now = now

    def wanted(self, message: ScheduleWanted) -> None:
        state = self.state
        if message.version < state.workflow_version:
            return
        if message.schedule is None:
            if state.setting is not None:
                self._settle()
                self._drop_queue()
                self._record(
                    ScheduleRemoved(workflow=state.workflow, workflow_version=message.version)
                )
            return
        setting = ScheduleSet(
            workflow=state.workflow,
            workflow_version=message.version,
            **message.schedule.model_dump(),
        )
        if setting != state.setting:
            self._settle()
            self._record(setting)
            self._start_queued()

    def paused(self, message: PauseSchedule) -> None:
        if self.state.setting is not None and not self.state.is_paused:
            self.pass_time()
            self._record(SchedulePaused(reason=message.reason))

    def resumed(self) -> None:
        if self.state.setting is not None and self.state.is_paused:
            self._settle()
            self._record(ScheduleResumed())
            self._start_queued()

    def ended(self, message: ChildOver) -> None:
        if message.child in self.state.running:
            self._record(ScheduledRunEnded(run_id=message.child, status=message.status))
            self._start_queued()

    def pass_time(self) -> None:
        """Give every tick up to now its fact."""
        setting = self.state.setting
        if setting is None or self.state.is_paused:
            return
        edge = self._now - timedelta(seconds=LATE_SECONDS)
        made_up_for = deque[datetime](maxlen=_MADE_UP_FOR[setting.catchup])
        in_time: list[datetime] = []
        missed = 0
        first = last_skipped = None
        for tick in self._passed(setting):
            if tick >= edge:
                in_time.append(tick)
                continue
            missed += 1
            first = first or tick
            if len(made_up_for) == made_up_for.maxlen:
                last_skipped = made_up_for[0] if made_up_for else tick
            made_up_for.append(tick)
        if first is not None and last_skipped is not None:
            count = missed - len(made_up_for)
            self._record(TickSkipped(tick=first, count=count, last=last_skipped, reason=MISSED))
        for tick in (*made_up_for, *in_time):
            self._come(tick)

    def _settle(self) -> None:
        """Leave no tick up to now without its fact, paused or not."""
        setting = self.state.setting
        if not self.state.is_paused or setting is None:
            self.pass_time()
            return
        first = last = None
        count = 0
        for tick in self._passed(setting):
            first, last, count = first or tick, tick, count + 1
        if first is not None:
            self._record(TickSkipped(tick=first, count=count, last=last, reason=PAUSED))

    def _passed(self, setting: ScheduleSet) -> Iterator[datetime]:
        coming = ticks(setting.cron, setting.timezone, after=self.state.decided_until)
        return takewhile(lambda tick: tick <= self._now, coming)

    def _come(self, tick: datetime) -> None:
        """A tick is there: start its run, or whatever it does while another one goes on."""
        state = self.state
        assert state.setting is not None
        is_busy = bool(state.running)  # and what waits, waits for one that goes on
        match state.setting.overlap:
            case "skip" if is_busy:
                self._skip(tick, "the run of the tick before goes on")
            case "queue" if len(state.queue) >= QUEUE_MAX:
                self._skip(tick, f"{QUEUE_MAX} ticks wait for the run before them already")
            case "queue" if is_busy:
                self._record(TickQueued(tick=tick))
            case _:
                self._fire(tick)

    def _start_queued(self) -> None:
        state = self.state
        if state.queue and not (state.running or state.is_paused or state.setting is None):
            self._fire(state.queue[0])

    def _fire(self, tick: datetime) -> None:
        state = self.state
        run_id = tick_run_id(state.namespace, state.workflow, tick.isoformat())
        self._record(TickFired(tick=tick, run_id=run_id))

    def _skip(self, tick: datetime, reason: str) -> None:
        """Record it, in one fact with those right before it that are skipped for the same."""
        before = self.events[-1] if self.events else None
        if isinstance(before, TickSkipped) and before.reason == reason:
            self.events.pop()
            first, count = before.tick, before.count + 1
        else:
            first, count = tick, 1
        self._record(TickSkipped(tick=first, count=count, last=tick, reason=reason))

    def _drop_queue(self) -> None:
        queue = self.state.queue
        if queue:
            self._record(
                TickSkipped(tick=queue[0], count=len(queue), last=queue[-1], reason=REMOVED)
            )

    def _record(self, event: ScheduleEvent) -> None:
        self.events.append(event)
        self.state = evolve_schedule(self.state, event, self._now)
