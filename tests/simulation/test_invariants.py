"""Each invariant notices what it is there for, and nothing in a history that is as it should be."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from simulation import invariants
from simulation.invariants import Histories

from dalsegno_orchestrator.history import NO_DIGEST, Recorded, seal, unseal
from dalsegno_orchestrator.storage.permits import PermitRow
from dalsegno_orchestrator.workflow.events import (
    Event,
    RunCompleted,
    RunStarted,
    TaskAssigned,
    TaskCompleted,
    WorkflowRegistered,
)

RUN = UUID(int=1)
FLOW = UUID(int=2)
DEFINITION = {
    "workflow": "w",
    "version": 1,
    "tasks": {"a": {"capability": "do"}, "b": {"capability": "do", "after": ["a"]}},
}
REGISTERED = WorkflowRegistered(
    workflow="w", workflow_version=1, definition_digest="d", definition=DEFINITION
)
STARTED = RunStarted(workflow="w", workflow_version=1, definition_digest="d")


def begins(task: str, attempt: int = 1) -> TaskAssigned:
    return TaskAssigned(task_id=task, attempt=attempt, agent="x", capability="do")


def ends(task: str, attempt: int = 1) -> TaskCompleted:
    return TaskCompleted(task_id=task, attempt=attempt, agent="x", replica="r", capability="do")


GOOD: tuple[Event, ...] = (
    STARTED, begins("a"), ends("a"), begins("b"), ends("b"), RunCompleted(output=1),
)  # fmt: skip


def recorded(stream: UUID, *events: Event) -> list[Recorded]:
    found, previous = list[Recorded](), NO_DIGEST
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for version, event in enumerate(events, start=1):
        sealed = seal(stream, version, event, at=at, by="t", cause="m", previous=previous)
        found.append(unseal(stream, version, sealed.kind, sealed.state))
        previous = sealed.digest
    return found


def histories(*events: Event) -> Histories:
    return {FLOW: recorded(FLOW, REGISTERED), RUN: recorded(RUN, *events)}


def test_a_history_as_it_should_be_breaks_nothing() -> None:
    good = histories(*GOOD)
    assert invariants.broken(good) == []
    assert invariants.accepted_runs_end(good, [RUN]) == []
    assert invariants.ends_are(good, {RUN: ("completed", 1)}) == []


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ((STARTED, begins("a"), ends("a"), begins("a", 2), ends("a", 2)), "completed twice"),
        ((STARTED, begins("a"), begins("a", 2)), "begins beside"),
        ((STARTED, begins("a"), ends("a"), begins("a")), "assigned twice"),
        ((STARTED, ends("a")), "was not open"),
        ((STARTED, begins("b")), "begins before ['a']"),
    ],
)
def test_what_must_not_be_is_named(events: tuple[Event, ...], said: str) -> None:
    assert any(said in sentence for sentence in invariants.broken(histories(*events)))


def test_a_gap_and_a_broken_chain_are_named() -> None:
    whole = recorded(RUN, *GOOD)
    assert invariants.streams_have_no_gaps({RUN: [whole[0], *whole[2:]]})
    assert invariants.chains_are_intact({RUN: [whole[0], *whole[2:]]})
    forged = [whole[0], replace(whole[1], digest=b"x"), *whole[2:]]
    assert invariants.chains_are_intact({RUN: forged})


def test_what_was_accepted_and_is_lost_open_or_ended_otherwise_is_named() -> None:
    assert invariants.accepted_runs_end({}, [RUN])
    assert invariants.accepted_runs_end(histories(STARTED), [RUN])
    assert invariants.ends_are(histories(*GOOD), {RUN: ("failed", None)})
    assert invariants.ends_are(histories(*GOOD), {RUN: ("completed", 2)})
    assert invariants.ends_are(histories(*GOOD), {RUN: ("completed", 2)}, output=False) == []


def test_a_permit_that_still_stands_is_named() -> None:
    row = PermitRow(limit="l", run_id=RUN, task_id="a", attempt=1, amount=1.0, taken_at=0.0)
    assert invariants.permits_are_given_back([row])
    assert invariants.permits_are_given_back([replace(row, given_back_at=1.0)]) == []
