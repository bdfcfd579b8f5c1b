"""Time travel: the state of a run after any of its events, by `evolve` over the prefix.

The definition comes from the workflow's own stream, in the version that the run is pinned to.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, Final, Protocol, cast
from uuid import UUID

from dalsegno_bus.errors import StoreError, UsageError
from dalsegno_bus.ids import RunId, workflow_id
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.events import RunEvent, RunStarted, WorkflowRegistered
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan
from dalsegno_orchestrator.workflow.run import Run

_DIGITS_MAX: Final = 18


class Streams(Protocol):
    """The event store, as far as it is read stream by stream."""

    def read(
        self, stream_id: UUID, *, after: int = 0, until: int | None = None
    ) -> list[Recorded]: ...


def prefix_at(history: Sequence[Recorded], at: str) -> Sequence[Recorded]:
    """The events of a run (oldest first, at least one) that had happened then.

    Args:
        history: All of its events.
        at: The number of an event, from 1, or a time (ISO 8601; UTC unless it says otherwise).

    Raises:
        UsageError: It had not begun then, has no such event, or `at` is neither.
    """
    if at.isascii() and at.isdigit():
        number = int(at[:_DIGITS_MAX])
        if not 1 <= number <= len(history):
            raise UsageError(f"the run has the events 1 to {len(history)}; there is no {at}")
        return history[:number]
    moment = _moment(at)
    prefix = list(takewhile(lambda recorded: recorded.at <= moment, history))
    if not prefix:
        raise UsageError(
            f"the run was not there yet at {at}: it began {history[0].at:%Y-%m-%dT%H:%M:%S} UTC"
        )
    return prefix


def state_of(streams: Streams, prefix: Sequence[Recorded]) -> Run:
    """The state of a run after these events (oldest first, from its first one).

    Raises:
        StoreError: Its definition is not in the store, or is not one.
    """
    first = prefix[0]
    started = first.event
    if not isinstance(started, RunStarted):
        raise UsageError(f"{first.stream_id} is no run")
    plan = plan_of(streams, started.workflow, started.workflow_version)
    events = ((cast("RunEvent", recorded.event), recorded.at) for recorded in prefix)
    return replay(RunId(first.stream_id), plan, events)


def plan_of(streams: Streams, workflow: str, version: int) -> Plan:
    """The compiled definition of this version.

    Raises:
        StoreError: It is not in the store, or is not a definition.
    """
    document = definition_of(streams, workflow, version)
    if document is None:
        raise StoreError(
            f"version {version} of workflow {workflow!r} is not in the event store, "
            "though a run follows it"
        )
    definition, problems = check(document)
    if definition is None:
        raise StoreError(
            f"version {version} of workflow {workflow!r} cannot be read: {problems[0]}"
        )
    return compile_plan(definition)


def definition_of(streams: Streams, workflow: str, version: int | None) -> dict[str, Any] | None:
    """The definition as it was registered (None: the newest); None if there is none."""
    registered = [
        recorded.event
        for recorded in streams.read(workflow_id(workflow))
        if isinstance(recorded.event, WorkflowRegistered)
    ]
    fitting = [event for event in registered if version in {None, event.workflow_version}]
    newest = max(fitting, key=lambda event: event.workflow_version, default=None)
    return None if newest is None else newest.definition


def _moment(at: str) -> datetime:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise UsageError(
            f"{at!r} is neither an event's number nor a time such as 2025-01-31T12:00:00"
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
