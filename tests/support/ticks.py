"""The schedule of an example, told tick by tick beside the story of one of its runs."""

from datetime import datetime

from dalsegno_bus.ids import RunId, schedule_id
from dalsegno_bus.messages import ChildOver
from dalsegno_orchestrator.workflow.facts import TimeReached
from dalsegno_orchestrator.workflow.schedule import (
    ScheduleEvent,
    ScheduleMessage,
    ScheduleState,
    ScheduleWanted,
    decide_schedule,
    evolve_schedule,
    start_of,
)
from support.stories import Story


class Clock:
    """The schedule of the story's workflow, registered at the story's time."""

    def __init__(self, story: Story) -> None:
        definition = story.plan.definition
        self._story = story
        self._state = ScheduleState(namespace="ds", workflow=definition.workflow)
        wanted = ScheduleWanted(
            workflow=definition.workflow,
            version=definition.version,
            schedule=definition.schedule,
        )
        self._hear(wanted)

    def strikes(self, at: datetime) -> None:
        """It is this late now."""
        self._story.now = at
        self._hear(TimeReached())

    def starts(self) -> None:
        """The run of the tick that was fired last begins: it is the story's."""
        self._story.begin(start_of(self._state, self._newest()))

    def hears_of_the_end(self) -> None:
        """The run of the oldest tick tells that it is over."""
        status = self._story.run.status
        assert status in {"completed", "failed"}
        over = ChildOver(
            run_id=RunId(schedule_id(self._state.workflow)),
            child=next(iter(self._state.running)),
            status="completed" if status == "completed" else "failed",
        )
        self._hear(over)

    def _newest(self) -> RunId:
        return list(self._state.running)[-1]

    def _hear(self, message: ScheduleMessage) -> None:
        events: list[ScheduleEvent] = decide_schedule(self._state, message, self._story.now)
        assert events, f"nothing follows from {message!r}"
        for event in events:
            self._state = evolve_schedule(self._state, event, self._story.now)
        self._story.told += events
