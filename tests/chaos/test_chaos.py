"""One minute of chaos on real processes, and what the checker makes of histories that are wrong."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from chaos.checker import Verdict, chain_breaks, check, doubles
from chaos.ledger import accepted_in, asked_in, works_in
from chaos.nemesis import KINDS, clocks, schedule, touched
from chaos.performance import perform
from chaos.skewed import clock
from chaos.stand import NAMESPACE, SKEW_SECONDS_MAX, Shape
from dalsegno_bus.clock import utc_now
from dalsegno_orchestrator.history import NO_DIGEST, Recorded, Sealed, seal, unseal
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import (
    Event,
    RunCompleted,
    RunStarted,
    TaskAssigned,
    TaskCompleted,
)

SEED = 7
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = UUID(int=7)
STARTED = RunStarted(
    workflow="chain", workflow_version=1, definition_digest="d", input={"value": 1}
)
DONE = RunCompleted(output=4)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_minute_of_faults_loses_doubles_and_forgets_nothing(tmp_path: Path) -> None:
    shape = Shape(seed=SEED, rate=2.0)
    told = await perform(shape, tmp_path, seconds=45.0, tell=print)
    assert told["clean"], told
    assert sum(told["faults"].values()) >= 10, told["faults"]


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
@pytest.mark.parametrize("nats", [1, 3])
def test_a_seed_gives_the_same_faults_again_and_every_kind_comes(store: str, nats: int) -> None:
    shape = Shape(store="sqlite" if store == "sqlite" else "postgres", nats=nats)
    faults = schedule(SEED, 600.0, shape)

    assert faults == schedule(SEED, 600.0, shape)
    assert faults != schedule(SEED + 1, 600.0, shape)
    left_out = {"full disk"} if store == "postgres" else {kind for kind in KINDS if "data" in kind}
    assert {fault.kind for fault in faults} == set(KINDS) - left_out
    assert max(fault.ends_at for fault in faults) <= 600.0


def test_nobody_is_hurt_twice_at_a_time() -> None:
    shape = Shape(store="postgres", nats=3)
    free_at: dict[str, float] = {}
    for fault in schedule(SEED, 600.0, shape):
        for name in touched(fault.kind, fault.target, shape):
            assert free_at.get(name, 0.0) <= fault.at
            free_at[name] = fault.ends_at


def test_every_clock_is_wrong_and_by_no_more_than_the_checker_allows_for() -> None:
    shape = Shape(replicas=2)
    wrong = clocks(shape)

    assert wrong == clocks(shape)
    assert set(wrong) == set(shape.services) - {"projections", "customers"}
    skews = [fault.skew for fault in schedule(SEED, 600.0, shape) if fault.kind == "skew"]
    assert min(skews) < 0 < max(skews)
    assert all(0 < abs(skew) <= SKEW_SECONDS_MAX for skew in (*wrong.values(), *skews))


def test_a_skewed_clock_is_wrong_by_what_was_said() -> None:
    before = utc_now()
    shown = clock(-1.5)()

    assert before <= shown + timedelta(seconds=1.5) <= utc_now()


# --- the checker finds what is wrong ----------------------------------------------------------


def assigned(attempt: int = 1) -> TaskAssigned:
    return TaskAssigned(task_id="one", attempt=attempt, agent="ada", capability="add")


def completed(attempt: int = 1) -> TaskCompleted:
    return TaskCompleted(
        task_id="one", attempt=attempt, agent="ada", replica="r", capability="add", output=2
    )


def sealed(*events: Event, run: UUID = RUN) -> list[Sealed]:
    found: list[Sealed] = []
    digest = NO_DIGEST
    for version, event in enumerate(events, start=1):
        at = NOW + timedelta(seconds=version)
        one = seal(run, version, event, at=at, by="client:test", cause="c", previous=digest)
        found.append(one)
        digest = one.digest
    return found


def history(*events: Event) -> list[Recorded]:
    return [unseal(one.stream_id, one.version, one.kind, one.state) for one in sealed(*events)]


def verdict_of(
    folder: Path, *events: Event, accepted: UUID = RUN, ended: Mapping[str, int] | None = None
) -> Verdict:
    """What the checker says of a store that holds this run, when another list was kept."""
    store = Store(f"sqlite:///{folder}/store.db", namespace=NAMESPACE)
    store.ensure_schema()
    if events:
        store.append(sealed(*events))
    asked_in(folder).write({"run": str(accepted), "workflow": "chain", "input": {"value": 1}})
    accepted_in(folder).write({"run": str(accepted)})
    verdict = check(store, folder, ended=ended or {})
    store.close()
    return verdict


def test_a_run_that_went_well_is_clean(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, STARTED, assigned(), completed(), DONE)

    assert verdict.is_clean, verdict
    assert verdict.ends == {"completed": 1}
    assert verdict.longest_pause == timedelta(seconds=1)


def test_an_accepted_run_that_is_not_in_the_store_is_lost(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, STARTED, DONE, accepted=UUID(int=8))

    assert len(verdict.lost) == 1
    assert len(verdict.unasked) == 1, "and nobody had asked for the one that is there"


def test_a_run_without_an_end_is_stuck_and_it_is_told_what_it_waits_for(tmp_path: Path) -> None:
    [sentence] = verdict_of(tmp_path, STARTED, assigned()).stuck

    assert "waits for one #1 @ada" in sentence


def test_another_end_than_the_expected_one_is_wrong(tmp_path: Path) -> None:
    assert verdict_of(tmp_path, STARTED, RunCompleted(output=5)).wrong != []


def test_a_task_that_is_completed_twice_is_doubled() -> None:
    assert doubles(RUN, history(STARTED, assigned(), completed(), completed(), DONE)) != []
    assert doubles(RUN, history(STARTED, assigned(), assigned(), completed(), DONE)) != []
    assert doubles(RUN, history(STARTED, assigned(), completed(), DONE)) == []


def test_a_changed_event_breaks_the_chain() -> None:
    whole = history(STARTED, assigned(), completed(), DONE)

    assert chain_breaks(RUN, whole) == []
    assert chain_breaks(RUN, [*whole[:1], *whole[2:]]) != []
    assert chain_breaks(RUN, [whole[0], replace(whole[1], digest=b"x"), *whole[2:]]) != []


def test_work_that_is_begun_long_after_its_report_was_committed_is_redone(tmp_path: Path) -> None:
    committed = NOW + timedelta(seconds=3)
    work = {"what": "began", "run": str(RUN), "task": "one", "attempt": 1, "by": "ada/1"}
    works = works_in(tmp_path)
    works.write({**work, "at": (committed - timedelta(seconds=1)).timestamp()})
    works.write({**work, "at": (committed + timedelta(seconds=60)).timestamp()})

    verdict = verdict_of(tmp_path, STARTED, assigned(), completed(), DONE)

    assert verdict.works == 2
    assert len(verdict.redone) == 1
    assert not verdict.is_clean


def test_a_process_that_ended_by_itself_is_not_clean(tmp_path: Path) -> None:
    ended = {"bob-1 ended with exit code 1": 2}
    verdict = verdict_of(tmp_path, STARTED, assigned(), completed(), DONE, ended=ended)

    assert verdict.ended == ["bob-1 ended with exit code 1, 2 times"]
    assert not verdict.is_clean


def test_half_a_line_of_a_killed_process_is_not_read(tmp_path: Path) -> None:
    ledger = asked_in(tmp_path)
    ledger.write({"run": "a"})
    with ledger.path.open("ab") as file:
        file.write(b'\n{"run": "b')
    ledger.write({"run": "c"})

    assert [entry["run"] for entry in ledger.read()] == ["a", "c"]
