"""Ids, subjects, topology: every name of the wire."""

import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus import ids
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import RunId, is_token, item_id, new_run_id, run_id_of_key, workflow_id
from dalsegno_bus.keys import check_key
from dalsegno_bus.memory.state import matcher
from dalsegno_bus.subjects import Subjects, partition_of
from dalsegno_bus.topology import (
    Stream,
    Topology,
    agent_consumer,
    dead_letters,
    inbox,
    inbox_consumer,
    tasks,
    topology_of,
)

SUBJECTS = Subjects(namespace="ds", partitions=16)
TOKENS = st.from_regex(ids.TOKEN, fullmatch=True).filter(lambda text: len(text) < 30)
RUN_IDS = st.uuids().map(RunId)


def test_a_new_run_id_is_a_uuid_of_version_7_and_later_ones_sort_after() -> None:
    before = time.time_ns() // 1_000_000
    run_ids = [new_run_id() for _ in range(100)]
    after = time.time_ns() // 1_000_000
    assert len(set(run_ids)) == 100
    assert {run_id.version for run_id in run_ids} == {7}
    assert {run_id.variant for run_id in run_ids} == {UUID(int=0x8 << 60).variant}
    assert all(before <= run_id.int >> 80 <= after for run_id in run_ids)


def test_a_key_stands_for_one_run_of_one_workflow_in_one_namespace() -> None:
    run_id = run_id_of_key("ds", "report", "k")
    assert run_id == run_id_of_key("ds", "report", "k")
    others = {
        run_id_of_key("other", "report", "k"),
        run_id_of_key("ds", "other", "k"),
        run_id_of_key("ds", "report", "other"),
    }
    assert run_id not in others
    assert len(others) == 3


def test_ids_that_stand_in_a_history_never_change() -> None:
    assert str(workflow_id("report")) == "040e16fb-65f7-563f-a20f-48eb196928b8"
    assert str(run_id_of_key("ds", "report", "k")) == "376060b1-87a5-5a3f-914d-0d731844b796"
    assert item_id("gather", 3) == "gather-3"


@pytest.mark.parametrize("text", ["", "A", "-a", "_a", "a.b", "a b", "a*", ">", "ä", "a\n"])
def test_what_is_no_token_is_refused_wherever_it_would_become_one(text: str) -> None:
    run_id = new_run_id()
    assert not is_token(text)
    for build in (
        lambda: Subjects(namespace=text),
        lambda: SUBJECTS.report(text, run_id),
        lambda: SUBJECTS.task(text, run_id, "gather", 1),
        lambda: SUBJECTS.task("analyst", run_id, text, 1),
        lambda: SUBJECTS.dead(text),
        lambda: SUBJECTS.live_task(run_id, text),
        lambda: SUBJECTS.control(text),
        lambda: SUBJECTS.query(text),
        lambda: SUBJECTS.task_pattern(text),
        lambda: SUBJECTS.task_pattern_of_run(text, run_id),
    ):
        with pytest.raises(UsageError):
            build()


@pytest.mark.parametrize("partitions", [0, -1])
def test_there_is_at_least_one_partition(partitions: int) -> None:
    with pytest.raises(UsageError, match="partitions"):
        Subjects(partitions=partitions)


@given(run_id=RUN_IDS, partitions=st.integers(1, 1024))
def test_each_run_has_one_partition(run_id: RunId, partitions: int) -> None:
    assert 0 <= partition_of(run_id, partitions) < partitions


@given(run_id=RUN_IDS, agent=TOKENS, task=TOKENS, attempt=st.integers(1, 10**6))
def test_what_is_written_to_a_run_reaches_its_partition_and_no_other(
    run_id: RunId, agent: str, task: str, attempt: int
) -> None:
    home = SUBJECTS.partition(run_id)
    stream = matcher(*inbox(SUBJECTS).subjects)
    for subject in (SUBJECTS.request(run_id), SUBJECTS.report(agent, run_id)):
        assert stream(subject)
        readers = [
            partition
            for partition in range(SUBJECTS.partitions)
            if matcher(*inbox_consumer(SUBJECTS, partition).patterns)(subject)
        ]
        assert readers == [home]
    command = SUBJECTS.task(agent, run_id, task, attempt)
    assert matcher(*tasks(SUBJECTS).subjects)(command)
    assert matcher(*agent_consumer(SUBJECTS, agent).patterns)(command)
    assert matcher(SUBJECTS.task_pattern_of_run(agent, run_id))(command)
    assert not matcher(SUBJECTS.task_pattern(f"{agent}x"))(command)
    assert matcher(SUBJECTS.live_tasks(run_id))(SUBJECTS.live_task(run_id, task))
    assert not matcher(SUBJECTS.live_tasks(run_id))(SUBJECTS.live_run(run_id))


@given(first=TOKENS, second=TOKENS, run_id=RUN_IDS)
def test_namespaces_share_no_subject(first: str, second: str, run_id: RunId) -> None:
    one, two = Subjects(namespace=first), Subjects(namespace=second)
    heard = [matcher(*stream.subjects) for stream in topology_of(one).streams]
    assert any(hears(two.request(run_id)) for hears in heard) == (first == second)


def test_the_topology_names_all_that_has_to_exist() -> None:
    topology = topology_of(SUBJECTS)
    assert [stream.name for stream in topology.streams] == ["DS_INBOX", "DS_TASKS", "DS_DEAD"]
    assert len(topology.consumers) == 16
    assert topology.buckets == ("ds_agents", "ds_leases")
    assert dead_letters(SUBJECTS).keeps == "log"
    assert tasks(SUBJECTS).one_per_subject


def test_two_topologies_together_hold_each_name_once_as_the_second_has_it() -> None:
    old, new = (Stream("S", ("s",), "work", messages_max) for messages_max in (1, 2))
    both = Topology(streams=(old,), buckets=("a",)) | Topology(streams=(new,), buckets=("b", "a"))
    assert both == Topology(streams=(new,), buckets=("a", "b"))


@given(agent=TOKENS, replica=TOKENS)
def test_what_agents_keep_in_buckets_are_keys(agent: str, replica: str) -> None:
    check_key(f"card.{agent}")
    check_key(f"live.{agent}.{replica}")
