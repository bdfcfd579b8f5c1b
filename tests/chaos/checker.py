"""Compares what customers were told and what agents did with the histories in the event store.

Reads only; a verdict depends on what is recorded, never on how fast the machine was.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final
from uuid import UUID

from chaos.ledger import accepted_in, asked_in, works_in
from chaos.plays import PLAYS, Outcome
from chaos.stand import PARTITIONS, SKEW_SECONDS_MAX
from dalsegno_orchestrator.history import NO_DIGEST, Recorded
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import (
    RunCancelled,
    RunCompensationFailed,
    RunCompleted,
    RunFailed,
    RunStarted,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskTimedOut,
)

End = RunCompleted | RunFailed | RunCancelled | RunCompensationFailed
Histories = Mapping[UUID, Sequence[Recorded]]
_SKEW: Final = timedelta(seconds=SKEW_SECONDS_MAX)
"""The clocks of orchestrators are wrong by up to that; the one of agents' lists is right."""
REDONE_AFTER: Final = timedelta(seconds=12) + _SKEW
"""A replica that stood still longer than any fault lasts did not begin by accident."""
_CHUNK: Final = 5_000


@dataclass
class Verdict:
    """What was found. Every list holds sentences for people; all of them empty means clean."""

    accepted: int = 0
    runs: int = 0
    events: int = 0
    ends: Counter[str] = field(default_factory=Counter[str])
    """How the accepted runs ended, by status, where it was as expected."""
    works: int = 0
    """Works that agents began."""
    longest_pause: timedelta = timedelta(0)
    longest_pause_at: datetime | None = None
    lost: list[str] = field(default_factory=list[str])
    unanswered: list[str] = field(default_factory=list[str])
    unasked: list[str] = field(default_factory=list[str])
    stuck: list[str] = field(default_factory=list[str])
    wrong: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    broken: list[str] = field(default_factory=list[str])
    redone: list[str] = field(default_factory=list[str])
    ended: list[str] = field(default_factory=list[str])
    redone_soon: int = 0
    """Begun after the report's commit, but by a replica that may have taken it up before."""

    @property
    def faults(self) -> dict[str, list[str]]:
        """What must be empty, by name."""
        return {
            "lost": self.lost,
            "never answered": self.unanswered,
            "nobody asked for": self.unasked,
            "stuck": self.stuck,
            "ended otherwise than expected": self.wrong,
            "duplicated completions": self.doubled,
            "breaks in the audit chain": self.broken,
            "work redone after its report was committed": self.redone,
            "processes that ended by themselves or with an error": self.ended,
        }

    @property
    def is_clean(self) -> bool:
        return not any(self.faults.values()) and self.accepted > 0


def check(store: Store, folder: Path, *, ended: Mapping[str, int]) -> Verdict:
    """Read everything, and say what is wrong.

    Args:
        ended: How often which process ended as nobody had asked it to, for people.
    """
    histories = read_histories(store)
    verdict = Verdict(runs=0)
    verdict.ended = [f"{how}, {n} times" for how, n in sorted(ended.items())]
    verdict.events = sum(len(history) for history in histories.values())
    _check_pauses(histories, verdict)
    runs = {
        stream: history
        for stream, history in histories.items()
        if isinstance(history[0].event, RunStarted)
    }
    verdict.runs = len(runs)
    for stream, history in histories.items():
        verdict.broken += chain_breaks(stream, history)
    for stream, history in runs.items():
        verdict.doubled += doubles(stream, history)
        _check_end(stream, history, verdict)
    _check_index(store, runs, verdict)
    _check_accepted(folder, runs, verdict)
    _check_works(folder, runs, verdict)
    return verdict


def read_histories(store: Store) -> dict[UUID, list[Recorded]]:
    """Every stream's events, in order."""
    found: dict[UUID, list[Recorded]] = defaultdict(list)
    position = 0
    while events := store.follow(after=position, limit=_CHUNK):
        for recorded in events:
            found[recorded.stream_id].append(recorded)
        position = events[-1].position
    return found


def chain_breaks(stream: UUID, history: Sequence[Recorded]) -> list[str]:
    """Where an event does not follow from the one before it."""
    found: list[str] = []
    digest = NO_DIGEST
    for version, recorded in enumerate(history, start=1):
        if recorded.version != version or recorded.previous != digest:
            found.append(f"{stream}: version {recorded.version} does not follow {version - 1}")
        digest = recorded.digest
    return found


def doubles(stream: UUID, history: Sequence[Recorded]) -> list[str]:
    """Whatever was recorded twice and may happen once."""
    found: list[str] = []
    completed = Counter(
        one.event.task_id for one in history if isinstance(one.event, TaskCompleted)
    )
    found += [f"{stream}: {task} was completed {n} times" for task, n in completed.items() if n > 1]
    given = Counter(
        (one.event.task_id, one.event.attempt)
        for one in history
        if isinstance(one.event, TaskAssigned)
    )
    found += [f"{stream}: {task} was given out {n} times" for task, n in given.items() if n > 1]
    started = sum(isinstance(one.event, RunStarted) for one in history)
    if started != 1:
        found.append(f"{stream}: it was started {started} times")
    return found


def outcome_of(history: Sequence[Recorded]) -> Outcome | None:
    """How a run ended; None: it did not."""
    event = history[-1].event
    match event:
        case RunCompleted():
            return Outcome("completed", event.output)
        case RunFailed():
            return Outcome("failed", list(event.compensated))
        case RunCancelled():
            return Outcome("cancelled", list(event.compensated))
        case RunCompensationFailed():
            return Outcome("compensation_failed", list(event.uncompensated))
        case _:
            return None


def _check_end(stream: UUID, history: Sequence[Recorded], verdict: Verdict) -> None:
    ends = sum(isinstance(one.event, End) for one in history)
    started = history[0].event
    assert isinstance(started, RunStarted)
    if ends > 1:
        verdict.doubled.append(f"{stream}: it ended {ends} times")
    outcome = outcome_of(history)
    if outcome is None:
        verdict.stuck.append(f"{stream} ({started.workflow}): {waits_for(history)}")
        return
    expected = PLAYS[started.workflow].outcome(started.input)
    if outcome != expected:
        verdict.wrong.append(
            f"{stream} ({started.workflow}): {outcome}, expected {expected}; {_why(history)}"
        )


def _check_index(store: Store, runs: Histories, verdict: Verdict) -> None:
    for one in store.open_runs(range(PARTITIONS)):
        history = runs.get(one.run_id)
        if history is not None and outcome_of(history) is not None:
            verdict.broken.append(f"{one.run_id}: it has ended, and the index has it as open")


def _check_accepted(folder: Path, runs: Histories, verdict: Verdict) -> None:
    asked = {UUID(entry["run"]): entry for entry in asked_in(folder).read()}
    accepted = {UUID(entry["run"]) for entry in accepted_in(folder).read()}
    verdict.accepted = len(accepted)
    verdict.lost = [f"{one} ({asked[one]['workflow']})" for one in accepted - runs.keys()]
    verdict.unanswered = [f"{one} ({asked[one]['workflow']})" for one in asked.keys() - accepted]
    for run_id, history in runs.items():
        started = history[0].event
        assert isinstance(started, RunStarted)
        if started.parent is None and run_id not in asked:
            verdict.unasked.append(f"{run_id} ({started.workflow})")
        elif run_id in asked and asked[run_id]["input"] != started.input:
            verdict.wrong.append(f"{run_id}: its input is {started.input!r}")
    for run_id in accepted & runs.keys():
        outcome = outcome_of(runs[run_id])
        if outcome is not None:
            verdict.ends[outcome.status] += 1


def _check_pauses(histories: Histories, verdict: Verdict) -> None:
    times = sorted(one.at for history in histories.values() for one in history)
    for before, after in pairwise(times):
        if after - before > verdict.longest_pause:
            verdict.longest_pause, verdict.longest_pause_at = after - before, before


def _check_works(folder: Path, runs: Histories, verdict: Verdict) -> None:
    committed: dict[tuple[str, str, int], datetime] = {}
    for run_id, history in runs.items():
        for one in history:
            if isinstance(one.event, TaskCompleted | TaskFailed):
                committed[str(run_id), one.event.task_id, one.event.attempt] = one.at
    for entry in works_in(folder).read():
        if entry["what"] != "began":
            continue
        verdict.works += 1
        at = committed.get((entry["run"], entry["task"], entry["attempt"]))
        late = timedelta(0) if at is None else timedelta(seconds=entry["at"] - at.timestamp())
        if late > REDONE_AFTER:
            verdict.redone.append(
                f"{entry['run']}: {entry['task']} #{entry['attempt']} by {entry['by']}, "
                f"{late.total_seconds():.1f} s after its report was committed"
            )
        elif late > _SKEW:
            verdict.redone_soon += 1


def waits_for(history: Sequence[Recorded]) -> str:
    """What a run that has not ended waits for, for people."""
    opened: dict[tuple[str, int], str] = {}
    for one in history:
        event = one.event
        if isinstance(event, TaskAssigned):
            opened[event.task_id, event.attempt] = (
                f"{event.task_id} #{event.attempt} @{event.agent}"
            )
        elif isinstance(event, TaskCompleted | TaskFailed | TaskTimedOut):
            opened.pop((event.task_id, getattr(event, "attempt", 0)), None)
    last = history[-1]
    waiting = f"waits for {', '.join(opened.values())}" if opened else "nothing is given out"
    return f"{waiting}; last {last.event.kind} {getattr(last.event, 'task_id', '')} at {last.at}"


def _why(history: Sequence[Recorded]) -> str:
    errors = [
        f"{one.event.task_id} #{one.event.attempt} {one.event.error.code} {one.event.error.message}"
        for one in history
        if isinstance(one.event, TaskFailed)
    ]
    return f"last errors: {errors[-3:]}"
