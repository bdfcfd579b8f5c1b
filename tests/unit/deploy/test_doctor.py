"""What a doctor finds where that is hard to bring about: old servers, full disks, lost copies."""

from typing import Any

import pytest

from dalsegno.doctor.checks_machine import check_place
from dalsegno.doctor.checks_nats import check_nats
from dalsegno.doctor.checks_store import check_store
from dalsegno.doctor.checks_work import check_leases, check_views
from dalsegno.doctor.facts import (
    Database,
    Finding,
    Lagging,
    Level,
    Monitor,
    Nats,
    Place,
    Stored,
    Views,
)
from dalsegno_bus.subjects import Subjects

GIB = 1 << 30


def about(found: list[Finding], what: str) -> list[tuple[Level, str]]:
    return [(one.level, one.what) for one in found if one.about == what]


@pytest.mark.parametrize(
    ("version", "level"),
    [("2.12.0", "ok"), ("2.15.1", "ok"), ("3.0.0-rc.1", "ok"), ("2.11.9", "bad"), ("", "bad")],
)
def test_a_server_has_to_be_2_12_or_newer(version: str, level: str) -> None:
    found = list(check_nats(Nats(url="nats://x", version=version), "local"))
    assert about(found, "NATS")[0][0] == level


def stored(**more: Any) -> Nats:
    return Nats(
        url="tls://x", version="2.12.0", is_encrypted=True, streams={"DS_DEAD": Stored(**more)}
    )


def test_copies_that_are_behind_or_without_a_leader_are_told() -> None:
    enough = {"num_replicas": 3}
    behind = check_nats(stored(config=enough, laggards=("b", "c")), "production")
    assert about(list(behind), "replicas") == [
        ("warn", "DS_DEAD: the copies on b, c are not current")
    ]
    headless = list(check_nats(stored(config=enough, leaderless=True), "production"))
    assert about(headless, "replicas")[0][0] == "bad"
    few = list(check_nats(stored(config={"num_replicas": 2}), "production"))
    assert about(few, "replicas") == [("warn", "1 stream with fewer than 3 copies: DS_DEAD")]
    assert about(list(check_nats(stored(config=enough), "production")), "replicas") == []


@pytest.mark.parametrize(("used", "level"), [(1, "ok"), (8, "warn"), (10, "bad")])
def test_jetstream_that_is_nearly_full_is_told(used: int, level: str) -> None:
    monitor = Monitor(url="http://x", storage_bytes=used * GIB, storage_bytes_max=10 * GIB)
    nats = Nats(
        url="nats://x",
        version="2.12.0",
        storage_bytes=used * GIB,
        storage_bytes_max=10 * GIB,
        monitors=(monitor,),
    )
    found = about(list(check_nats(nats, "local")), "JetStream room")
    assert [one for one, _ in found] == [level] * 2
    assert f"{used}.0 GiB of 10.0 GiB are in use" in found[0][1]


@pytest.mark.parametrize(
    ("free", "total", "level"), [(100, 200, "ok"), (15, 200, "warn"), (0.1, 200, "bad")]
)
def test_a_disk_that_is_nearly_full_is_told(free: float, total: int, level: str) -> None:
    place = Place(what="artifacts", path="/x", free_bytes=int(free * GIB), total_bytes=total * GIB)
    assert [one.level for one in check_place(place)] == [level]


@pytest.mark.parametrize(
    ("kind", "settings", "level"),
    [
        ("sqlite", {"journal_mode": "wal", "synchronous": "2"}, "ok"),
        ("sqlite", {"journal_mode": "wal", "synchronous": "1"}, "bad"),
        ("sqlite", {"journal_mode": "delete", "synchronous": "2"}, "bad"),
        ("postgresql", {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}, "ok"),
        ("postgresql", {"fsync": "off"}, "bad"),
        ("postgresql", {"full_page_writes": "off"}, "bad"),
        ("postgresql", {"synchronous_commit": "off"}, "warn"),
    ],
)
def test_a_commit_that_may_not_outlive_a_power_cut_is_told(
    kind: Any, settings: dict[str, str], level: str
) -> None:
    found = list(check_store(Database(kind=kind, url="x", settings=settings), "local"))
    assert [one for one, _ in about(found, "durability")] == [level]


def test_a_damaged_file_and_a_password_in_the_clear_are_told() -> None:
    damaged = {"journal_mode": "wal", "synchronous": "2", "quick_check": "row 7 missing"}
    found = list(check_store(Database(kind="sqlite", url="x", settings=damaged), "local"))
    assert ("bad", "the file is damaged: row 7 missing") in about(found, "event store")
    clear = Database(kind="postgresql", url="postgresql://x", is_encrypted=False)
    told = about(list(check_store(clear, "production")), "event store")
    assert told[-1] == ("warn", "the connection to postgresql://x is not encrypted (no TLS)")
    assert len(about(list(check_store(clear, "local")), "event store")) == 1


def test_views_that_lag_and_what_is_parked_are_told() -> None:
    views = Views(
        views=(
            Lagging(view="runs", events_max=900, seconds=40.0, parked=0),
            Lagging(view="tasks", events_max=0, seconds=0.0, parked=2),
            Lagging(view="audit", events_max=1, seconds=None, parked=0),
        ),
        tasks_parked=3,
        runs_parked=1,
    )
    found = list(check_views(views))
    assert about(found, "views") == [
        ("warn", "runs is 40 s behind the history (900 events at most)"),
        ("warn", "audit is an unknown time behind the history (1 events at most)"),
        ("warn", "events that could not be taken: 2 of tasks"),
    ]
    assert about(found, "parked tasks") == [("warn", "3 tasks parked in 1 run")]
    assert {one.level for one in check_views(Views())} == {"ok"}


def test_a_lease_that_is_not_understood_is_no_lease() -> None:
    subjects = Subjects(partitions=1)
    keys = {"member.a": b"{}", "partition.0": b"\xff"}
    nats = Nats(url="nats://x", keys={subjects.leases_bucket: keys})
    assert [one.level for one in check_leases(nats, subjects, "local")] == ["ok", "bad"]
