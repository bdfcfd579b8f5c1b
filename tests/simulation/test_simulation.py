"""Two thousand seeds, the same each time; and whether the simulation itself can be relied on."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from simulation.company import played
from simulation.plan import Fault, plan_of
from simulation.shrink import shrunk
from simulation.theatre import play

TESTS = Path(__file__).parents[1]
SEEDS = 2_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_whatever_goes_wrong() -> None:
    failures = [
        f"uv run poe simulate --seed {seed} --shrink --trace: {problems[0]}"
        for portion in played(range(SEEDS), jobs=os.cpu_count() or 1)
        for seed, problems in portion.failures
    ]
    assert failures == []


@pytest.mark.slow
def test_a_seed_is_the_same_to_the_byte_each_time_and_in_every_process() -> None:
    seeds = range(40)
    once = [play(plan_of(seed)).digest for seed in seeds]
    assert [play(plan_of(seed)).digest for seed in seeds] == once
    for hash_seed in ("1", "2"):
        script = (
            "import json, logging; logging.disable(); "
            "from simulation.theatre import play; from simulation.plan import plan_of; "
            f"print(json.dumps([play(plan_of(seed)).digest for seed in range({len(seeds)})]))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)},
            capture_output=True,
            check=True,
        )
        assert json.loads(answer.stdout) == once


def test_every_kind_of_fault_comes_about_in_the_first_hundred_seeds() -> None:
    drawn = {fault.what for seed in range(100) for fault in plan_of(seed).faults}
    assert drawn == {
        "kill", "pause", "wipe", "store_away", "die_before_commit", "die_after_commit",
        "commit_unanswered", "commit_refused", "conflict", "die_sending", "die_after_sending",
        "die_before_ack", "stop",
    }  # fmt: skip


def test_what_fails_is_made_smaller_until_nothing_can_be_left_out() -> None:
    """An agent that is gone for good cannot do what the run asks for."""
    plan = next(
        plan
        for plan in map(plan_of, range(1_000))
        if len(plan.replicas) == 1 and len(plan.runs) > 1 and len(plan.faults) > 1
    )
    for_ever = Fault(at=0.0, what="kill", who=plan.replicas[0], seconds=10_000.0)
    outcome = play(replace(plan, faults=(*plan.faults, for_ever)))
    assert outcome.problems
    smallest = shrunk(outcome)
    assert smallest.problems
    assert len(smallest.plan.faults) == len(smallest.plan.runs) == 1
    assert len(smallest.plan.orchestrators) == 1
