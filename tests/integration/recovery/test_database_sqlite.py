"""The SQLite file of the event store under every fault: nothing half, nothing forgotten."""

import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

import pytest
from eventsourcing.persistence import PersistenceError

from dalsegno_bus.errors import SettingsError, Unavailable, VersionConflict
from dalsegno_orchestrator.history import NO_DIGEST, Sealed, seal
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.storage.permits import PermitChange, PermitRow
from dalsegno_orchestrator.storage.sqlite_file import CONNECTIONS_MAX, DurableFile
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import TaskSkipped

AT = datetime(2026, 1, 2, tzinfo=UTC)
ROOT = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be00f")
NAMESPACE = "ds"
EACH = 3
"""Events in one transaction."""
BATCHES = 12
CUTS = 150


def facts(number: int, *, size: int = 300) -> list[Sealed]:
    """The events of one transaction, all of one run."""
    run = run_of(number)
    return [
        seal(run, version, TaskSkipped(task_id="t", reason="x" * size),
             at=AT, by="t", cause="m", previous=NO_DIGEST)
        for version in range(1, EACH + 1)
    ]  # fmt: skip


def run_of(number: int) -> UUID:
    return uuid5(ROOT, str(number))


def keep(store: Store, number: int, *, size: int = 300) -> None:
    """One transaction: events, an open run and a permit."""
    run = run_of(number)
    permit = PermitRow(
        limit="quota:gpu", run_id=run, task_id="t", attempt=1, amount=1.0, taken_at=0.0
    )
    store.append(
        facts(number, size=size),
        opened=[OpenRun(run_id=run, partition=0, due_at=None)],
        permits=PermitChange(taken=[permit]),
    )


def kept(store: Store) -> set[UUID]:
    """The runs that are there; each is whole, or this fails."""
    versions: dict[UUID, list[int]] = {}
    for recorded in store.follow(after=0, limit=100_000):
        versions.setdefault(recorded.stream_id, []).append(recorded.version)
    assert all(found == list(range(1, EACH + 1)) for found in versions.values())
    assert {entry.run_id for entry in store.open_runs([0])} == set(versions)
    assert {row.run_id for row in store.permits()} == set(versions)
    return set(versions)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{path}", namespace=NAMESPACE)
    opened.ensure_schema()
    yield opened
    opened.close()


def test_every_connection_syncs_the_log_before_a_commit_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[sqlite3.Connection] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def remember(*args: object, **kwargs: object) -> sqlite3.Connection:
        made.append(connect(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr("sqlite3.connect", remember)
    store = Store(f"sqlite:///{path}", namespace=NAMESPACE)
    store.ensure_schema()
    keep(store, 1)
    datastore = DurableFile(str(path), lambda _: None)
    with datastore.transaction(commit=False), datastore.transaction(commit=True):
        pass  # two at once
    assert len(made) == 3
    for one in made:
        settings = [
            str(one.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync")
        ]
        assert settings == ["wal", "2", "1", "1"]  # 2: FULL
    datastore.close()
    store.close()


def test_a_power_cut_at_any_byte_of_the_log_leaves_whole_transactions_and_all_acknowledged(
    store: Store, path: Path, tmp_path: Path
) -> None:
    log = path.with_name("store.db-wal")
    acknowledged = [(log.stat().st_size, frozenset[UUID]())]
    for number in range(BATCHES):
        keep(store, number)
        acknowledged.append((log.stat().st_size, frozenset(kept(store))))
    chance = random.Random(4)
    begins = acknowledged[0][0]
    ends = [size for size, _ in acknowledged]
    cuts = {*ends, *(size - 1 for size in ends)}
    cuts |= {chance.randrange(begins - 1, ends[-1]) for _ in range(CUTS)}
    for cut in sorted(cuts):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        shutil.copy(path, folder / "store.db")
        (folder / "store.db-wal").write_bytes(log.read_bytes()[:cut])
        if cut >= begins:
            copy = Store(f"sqlite:///{folder}/store.db", namespace=NAMESPACE)
            found = kept(copy)
            copy.close()
            assert found == max((at, runs) for at, runs in acknowledged if at <= cut)[1]


def test_torn_pages_after_what_was_synced_are_no_transaction(
    store: Store, path: Path, tmp_path: Path
) -> None:
    log = path.with_name("store.db-wal")
    keep(store, 1)
    synced = log.stat().st_size
    keep(store, 2)
    whole = log.read_bytes()
    chance = random.Random(4)
    for round_number in range(40):
        torn = bytearray(whole)
        for _ in range(3):  # the disk wrote some sectors of the newest transaction, not others
            at = chance.randrange(synced, len(whole) - 512)
            torn[at : at + 512] = chance.randbytes(512)
        folder = tmp_path / f"torn-{round_number}"
        folder.mkdir()
        shutil.copy(path, folder / "store.db")
        (folder / "store.db-wal").write_bytes(torn)
        copy = Store(f"sqlite:///{folder}/store.db", namespace=NAMESPACE)
        assert kept(copy) == {run_of(1)}
        copy.close()


def test_a_process_killed_in_the_middle_of_a_transaction_leaves_nothing_of_it(
    store: Store, path: Path
) -> None:
    keep(store, 1)
    child = subprocess.Popen(
        [sys.executable, "-c", _HALF, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    with pytest.raises(Unavailable, match="locked"):
        keep(store, 3)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert kept(store) == {run_of(1)}
    keep(store, 3)
    assert kept(store) == {run_of(1), run_of(3)}


_HALF = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from dalsegno_orchestrator.storage.permits import Check
from dalsegno_orchestrator.storage import permits
from dalsegno_orchestrator.store import Store
from integration.recovery import test_database_sqlite as this

def halt(change):
    print("half", flush=True)
    time.sleep(600)

import dalsegno_orchestrator.storage.sqlite as sqlite
sqlite.checks_of = halt
this.keep(Store("sqlite:///" + sys.argv[1], namespace=this.NAMESPACE), 2, size=400_000)
"""


def test_a_folder_that_is_missing_is_made(path: Path, store: Store) -> None:
    assert path.exists()
    assert kept(store) == set()


def test_a_folder_that_comes_back_is_found(path: Path) -> None:
    store = Store(f"sqlite:///{path}", namespace=NAMESPACE)
    path.parent.rmdir()
    for _ in range(CONNECTIONS_MAX + 1):  # who could not connect keeps no place, and no lock
        with pytest.raises(Unavailable, match="unable to open"):
            store.ensure_schema()
    assert "unable to open" in (store.trouble or "")
    path.parent.mkdir()
    store.ensure_schema()
    keep(store, 1)
    assert store.trouble is None
    store.close()


def test_nothing_is_stored_in_a_file_that_was_taken_away(store: Store, path: Path) -> None:
    keep(store, 1)
    away = path.parent.with_name("away")
    path.parent.rename(away)
    with pytest.raises(Unavailable, match="taken away"):
        keep(store, 2)
    path.parent.mkdir()
    with pytest.raises(Unavailable, match="taken away"):
        store.read(run_of(1))
    assert list(path.parent.iterdir()) == []
    path.parent.rmdir()
    away.rename(path.parent)
    assert kept(store) == {run_of(1)}
    keep(store, 2)
    assert kept(store) == {run_of(1), run_of(2)}


def test_a_commit_to_a_file_that_was_taken_away_meanwhile_does_not_count(path: Path) -> None:
    path.parent.mkdir()
    file = DurableFile(str(path), lambda _: None)

    def write() -> None:
        with file.transaction(commit=True) as cursor:
            cursor.execute("CREATE TABLE one (number INTEGER)")
            path.unlink()

    with pytest.raises(Unavailable, match="taken away"):
        write()
    file.close()


def test_a_file_that_was_replaced_by_another_ends_who_worked_with_the_first(
    store: Store, path: Path
) -> None:
    keep(store, 1)
    shutil.copy(path, path.with_name("copy.db"))
    path.with_name("copy.db").rename(path)
    with pytest.raises(SettingsError, match="replaced by another"):
        keep(store, 2)


def test_a_file_that_takes_no_writes_is_unavailable_until_it_does(store: Store, path: Path) -> None:
    keep(store, 1)
    admin = sqlite3.connect(path)
    admin.execute(
        "CREATE TRIGGER no BEFORE INSERT ON ds_events BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    with pytest.raises(Unavailable, match="no"):
        keep(store, 2)
    admin.execute("DROP TRIGGER no")
    admin.close()
    keep(store, 2)
    assert kept(store) == {run_of(1), run_of(2)}


@pytest.mark.parametrize("pragma", ["query_only=ON", "max_page_count=1"])
def test_a_store_that_is_read_only_or_full_keeps_what_it_has(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str
) -> None:
    keep(store, 1)
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def limited(*args: object, **kwargs: object) -> sqlite3.Connection:
        connection = connect(*args, **kwargs)
        connection.execute(f"PRAGMA {pragma}")
        return connection

    with monkeypatch.context() as patch:
        patch.setattr("sqlite3.connect", limited)
        other = Store(store.url, namespace=NAMESPACE)
        for _ in range(3):
            assert kept(other) == {run_of(1)}
            with pytest.raises(Unavailable, match=r"readonly|full"):
                keep(other, 2, size=100_000)
    keep(other, 2)
    other.close()
    assert kept(store) == {run_of(1), run_of(2)}


def test_a_disk_that_is_full_in_mid_transaction_keeps_all_before_and_nothing_of_it(
    store: Store, path: Path
) -> None:
    keep(store, 1)
    limit = path.with_name("store.db-wal").stat().st_size + 50_000

    def bound() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(path)],
        preexec_fn=bound,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "store_away\n")  # said once
    refused, taken = done.stdout.split("\n")[:2]
    assert "disk" in refused or "full" in refused
    assert taken == "3"
    assert kept(store) == {run_of(1), run_of(3)}


_FILL = f"""
import resource, sys
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
from dalsegno_bus.errors import Unavailable
from dalsegno_orchestrator.store import Store
from integration.recovery import test_database_sqlite as this
store = Store("sqlite:///" + sys.argv[1], namespace=this.NAMESPACE)
for again in range(3):
    try:
        this.keep(store, 2, size=100_000)
    except Unavailable as error:
        reason = str(error)
print(reason)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
this.keep(store, 3)
print(3)
store.close()
"""


def test_a_file_that_is_no_database_is_named(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(10_000))
    store = Store(f"sqlite:///{path}", namespace=NAMESPACE)
    with pytest.raises(Unavailable, match="not a database"):
        store.ensure_schema()
    store.close()


def test_a_store_that_was_closed_says_so(path: Path) -> None:
    store = Store(f"sqlite:///{path}", namespace=NAMESPACE)
    store.ensure_schema()
    store.close()
    with pytest.raises(Unavailable, match="closed"):
        keep(store, 1)


def test_only_a_row_that_is_taken_is_a_conflict(store: Store, path: Path) -> None:
    keep(store, 1)
    with pytest.raises(VersionConflict):
        keep(store, 1)
    assert store.trouble is None
    admin = sqlite3.connect(path)
    admin.execute(
        "CREATE TRIGGER no BEFORE INSERT ON ds_events_open BEGIN "
        "INSERT INTO ds_events_open VALUES (NEW.run_id, NULL, NULL); END"
    )
    admin.close()
    with pytest.raises(Unavailable, match="NOT NULL"):
        keep(store, 2)


def test_every_error_of_the_driver_ends_as_one_of_the_library_which_the_store_knows(
    path: Path, store: Store
) -> None:
    datastore = DurableFile(str(path), lambda _: None)
    errors = [
        kind
        for kind in [*vars(sqlite3).values(), OSError, TimeoutError]
        if isinstance(kind, type) and issubclass(kind, sqlite3.Error | OSError)
    ]
    assert len(errors) > 8
    for error in errors:
        with pytest.raises(PersistenceError), datastore.transaction(commit=True):
            raise error("broken")
    datastore.close()
    keep(store, 1)
