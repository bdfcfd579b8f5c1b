"""Makes a plan that fails smaller, for as long as it still fails."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, TypeVar

from simulation.plan import Plan
from simulation.theatre import Outcome, play

T = TypeVar("T")
PLAYS_MAX: Final = 150
"""So many plans are tried."""


def shrunk(outcome: Outcome) -> Outcome:
    """The smallest failure that was found, beginning with this one."""
    plays = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for plan in _smaller(outcome.plan):
            if plays >= PLAYS_MAX:
                return outcome
            plays += 1
            tried = play(plan)
            if tried.problems:
                outcome, is_smaller = tried, True
                break
    return outcome


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with one thing less."""
    yield from _fewer(plan)
    for plainer in (
        replace(plan, lose=0.0, double=0.0, shuffle=0.0),
        replace(plan, lag_seconds=0.0),
        replace(plan, skew_seconds=0.0),
        replace(plan, partitions=1),
        replace(plan, is_store_local=True),
    ):
        if plainer != plan:
            yield plainer
    for index, fault in enumerate(plan.faults):
        for simpler in (replace(fault, number=1), replace(fault, seconds=1.0)):
            if simpler.number + simpler.seconds < fault.number + fault.seconds:
                yield replace(
                    plan, faults=(*plan.faults[:index], simpler, *plan.faults[index + 1 :])
                )


def _fewer(plan: Plan) -> Iterator[Plan]:
    """With one fault, run or process less; of runs and processes one has to stay."""
    for faults in _without_one(plan.faults, at_least=0):
        yield replace(plan, faults=faults)
    for runs in _without_one(plan.runs):
        yield replace(plan, runs=runs)
    for orchestrators in _without_one(plan.orchestrators):
        yield _among_those_there(replace(plan, orchestrators=orchestrators))
    for replicas in _without_one(plan.replicas):
        yield _among_those_there(replace(plan, replicas=replicas))


def _without_one(things: tuple[T, ...], *, at_least: int = 1) -> list[tuple[T, ...]]:
    if len(things) <= at_least:
        return []
    return [(*things[:index], *things[index + 1 :]) for index in range(len(things))]


def _among_those_there(plan: Plan) -> Plan:
    """Nothing happens to those who are not there."""
    there = {*plan.orchestrators, *plan.replicas, ""}
    return replace(plan, faults=tuple(fault for fault in plan.faults if fault.who in there))
