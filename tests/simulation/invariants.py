"""What has to hold of any history, whatever went wrong while it was made.

Each function takes plain histories and returns sentences, one for each thing that is wrong; none at
all means that it holds. They know nothing of how the history came about, so that simulations and
tests on real processes use the same ones.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias, TypeGuard
from uuid import UUID

import orjson

from dalsegno_orchestrator.history import NO_DIGEST, Recorded
from dalsegno_orchestrator.storage.permits import PermitRow
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.events import (
    Event,
    RunCancelled,
    RunCompensationFailed,
    RunCompleted,
    RunFailed,
    RunRewound,
    RunStarted,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskHandedOff,
    TaskRerouted,
    TaskSkipped,
    TaskTimedOut,
    WorkflowRegistered,
)
from dalsegno_orchestrator.workflow.plan import compile_plan

History: TypeAlias = Sequence[Recorded]
"""One stream, oldest first."""
Histories: TypeAlias = Mapping[UUID, History]

_Final: TypeAlias = TaskCompleted | TaskSkipped | TaskFailed | TaskTimedOut
ENDS: Final = RunCompleted | RunFailed | RunCancelled | RunCompensationFailed


def by_stream(recorded: Iterable[Recorded]) -> dict[UUID, list[Recorded]]:
    """Histories, from events in any order in which each stream's own is kept."""
    found: dict[UUID, list[Recorded]] = {}
    for one in recorded:
        found.setdefault(one.stream_id, []).append(one)
    return found


def end_of(history: History) -> tuple[str, Any] | None:
    """Status and output with which a run ended last; None: it is open."""
    found: tuple[str, Any] | None = None
    for recorded in history:
        event = recorded.event
        if isinstance(event, ENDS):
            status = event.kind.partition(".")[0].removeprefix("run-").replace("-", "_")
            found = (status, getattr(event, "output", None))
        elif isinstance(event, RunRewound):
            found = None
    return found


def accepted_runs_end(histories: Histories, accepted: Collection[UUID]) -> list[str]:
    """Whatever was accepted is recorded, and has come to an end."""
    wrong: list[str] = []
    for run_id in accepted:
        history = histories.get(run_id, ())
        if not history:
            wrong.append(f"run {run_id} was accepted and is not in the history")
        elif end_of(history) is None:
            wrong.append(f"run {run_id} was accepted and has not ended: {_kinds(history)}")
    return wrong


def ends_are(
    histories: Histories, expected: Mapping[UUID, tuple[str, Any]], *, output: bool = True
) -> list[str]:
    """Runs end as they would if nothing went wrong; `output` False: look at the status alone."""
    wrong: list[str] = []
    for run_id, end in expected.items():
        found = end_of(histories.get(run_id, ()))
        if found is not None and (found if output else found[0]) != (end if output else end[0]):
            kinds = _kinds(histories[run_id])
            wrong.append(f"run {run_id} ended as {found}, not as {end}: {kinds}")
    return wrong


def streams_have_no_gaps(histories: Histories) -> list[str]:
    """Versions count from 1, one by one."""
    return [
        f"stream {stream} has version {recorded.version} in place {place}"
        for stream, history in histories.items()
        for place, recorded in enumerate(history, start=1)
        if recorded.version != place
    ]


def chains_are_intact(histories: Histories) -> list[str]:
    """Each event carries the digest of the one before it."""
    wrong: list[str] = []
    for stream, history in histories.items():
        previous = NO_DIGEST
        for recorded in history:
            if recorded.previous != previous:
                wrong.append(f"stream {stream}: event {recorded.version} is not chained")
            previous = recorded.digest
    return wrong


def completions_are_single(histories: Histories) -> list[str]:
    """No task is completed twice, unless its run went back to before it."""
    wrong: list[str] = []
    for run_id, history in histories.items():
        completed: set[str] = set()
        for event in (recorded.event for recorded in history):
            if isinstance(event, RunRewound):
                completed -= set(event.undone)
            elif isinstance(event, TaskCompleted):
                if event.task_id in completed:
                    wrong.append(f"run {run_id}: {event.task_id} is completed twice")
                completed.add(event.task_id)
    return wrong


def attempts_are_in_turn(histories: Histories) -> list[str]:
    """One attempt of a task is open at a time (beside hedges), and each has a number of its own."""
    wrong: list[str] = []
    for run_id, history in histories.items():
        opened: dict[str, set[int]] = {}
        ever: set[tuple[str, int]] = set()
        for event in (recorded.event for recorded in history):
            match event:
                case RunRewound():
                    for task in event.undone:
                        opened.pop(task, None)
                case TaskAssigned():
                    others = opened.setdefault(event.task_id, set())
                    if (event.task_id, event.attempt) in ever:
                        wrong.append(f"run {run_id}: {_name(event)} is assigned twice")
                    if others and event.hedges is None:
                        wrong.append(f"run {run_id}: {_name(event)} begins beside {others}")
                    others.add(event.attempt)
                    ever.add((event.task_id, event.attempt))
                case TaskCompleted() | TaskHandedOff():
                    known = event.attempt in opened.pop(event.task_id, set())
                    wrong += [] if known else [f"run {run_id}: {_name(event)} was not open"]
                case TaskFailed() | TaskTimedOut() | TaskRerouted():
                    opened.get(event.task_id, set()).discard(event.attempt)
                case _:
                    pass
    return wrong


def nothing_starts_too_early(histories: Histories) -> list[str]:
    """A task begins when all the plain tasks that it refers to are over."""
    needs_of = {
        (event.workflow, event.workflow_version): _needs(orjson.dumps(event.definition))
        for history in histories.values()
        for event in (recorded.event for recorded in history)
        if isinstance(event, WorkflowRegistered)
    }
    wrong: list[str] = []
    for run_id, history in histories.items():
        first = history[0].event if history else None
        if not isinstance(first, RunStarted):
            continue
        needs = needs_of.get((first.workflow, first.workflow_version), {})
        over: set[str] = set()
        for event in (recorded.event for recorded in history):
            if isinstance(event, TaskAssigned):
                missing = needs.get(event.task_id, frozenset()) - over
                if missing:
                    wrong.append(f"run {run_id}: {_name(event)} begins before {sorted(missing)}")
            elif _ends_task(event):
                over.add(event.task_id)
    return wrong


def permits_are_given_back(permits: Iterable[PermitRow]) -> list[str]:
    """Nothing of a limit is taken when nothing is under way."""
    return [
        f"{row.limit}: {row.run_id}/{row.task_id}/{row.attempt} still has {row.amount:g}"
        for row in permits
        if row.given_back_at is None
    ]


ALWAYS: Final[tuple[Callable[[Histories], list[str]], ...]] = (
    streams_have_no_gaps,
    chains_are_intact,
    completions_are_single,
    attempts_are_in_turn,
    nothing_starts_too_early,
)
"""What holds of every history at every time, also of one that is not yet at its end."""


def broken(histories: Histories) -> list[str]:
    """Everything in `ALWAYS` that does not hold."""
    return [sentence for holds in ALWAYS for sentence in holds(histories)]


def _ends_task(event: Event) -> TypeGuard[_Final]:
    """Whether nothing more becomes of a plain task after this."""
    if isinstance(event, TaskFailed | TaskTimedOut):
        return event.final
    return isinstance(event, TaskCompleted | TaskSkipped)


@lru_cache(maxsize=256)
def _needs(document: bytes) -> Mapping[str, frozenset[str]]:
    """By plain task, the plain tasks that have to be over before it begins."""
    definition, _ = check(orjson.loads(document))
    if definition is None:
        return {}
    tasks: Mapping[str, Mapping[str, Any]] = definition.to_json()["tasks"]
    plain = {
        name
        for name, task in tasks.items()
        if "capability" in task and not {"foreach", "repeat", "dynamic"} & task.keys()
    }
    steps = compile_plan(definition).steps
    return {name: steps[name].needs & plain for name in plain if name in steps}


def _name(event: Any) -> str:
    return f"{event.task_id}/{event.attempt}"


def _kinds(history: History) -> str:
    return " ".join(recorded.event.kind.partition(".")[0] for recorded in history[-12:])
