"""PostgreSQL under the event store, with every fault: each wait has an end, and it comes back."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, PersistenceError
from integration.recovery.database_servers import Cable, OwnPostgres, own_postgres
from integration.recovery.test_database_sqlite import keep, kept, run_of

from dalsegno_bus.errors import Unavailable, VersionConflict
from dalsegno_orchestrator.storage import postgres_server
from dalsegno_orchestrator.storage.postgres import open_datastore
from dalsegno_orchestrator.store import Store

SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnPostgres]:
    """A server that only the tests of this file use."""
    with own_postgres() as server:
        yield server


@pytest.fixture
def store(own_server: OwnPostgres, namespace: str) -> Iterator[Store]:
    opened = Store(own_server.url, namespace=namespace)
    opened.ensure_schema()
    keep(opened, 1)
    yield opened
    opened.close()


@contextmanager
def in_thread(work: Callable[[], None]) -> Generator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def count(server: OwnPostgres, where: str) -> int:
    ((number,),) = server.run(
        f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dalsegno' AND {where}"
    )
    return number


def test_a_server_that_is_stopped_and_started_again_is_used_at_once(
    store: Store, own_server: OwnPostgres
) -> None:
    own_server.stop()
    began = time.monotonic()
    for _ in range(4):
        with pytest.raises(Unavailable):
            keep(store, 2)
    assert time.monotonic() - began < SECONDS_MAX
    assert "No such file" in (store.trouble or "")  # the reason, not that somebody waited
    own_server.start()
    keep(store, 2)
    assert store.trouble is None
    assert kept(store) == {run_of(1), run_of(2)}


def test_a_restart_that_nobody_was_there_to_see_is_not_noticed(
    store: Store, own_server: OwnPostgres
) -> None:
    own_server.stop()
    own_server.start()
    assert kept(store) == {run_of(1)}
    own_server.kill_connections()
    until(lambda: count(own_server, "true") == 0)
    keep(store, 2)
    assert store.trouble is None


def test_the_schema_can_be_made_once_the_server_is_there(
    own_server: OwnPostgres, namespace: str
) -> None:
    cable = Cable(own_server.socket_path)
    url = f"postgresql://postgres@127.0.0.1:{cable.port}/postgres"
    cable.close()
    store = Store(url, namespace=namespace)
    with pytest.raises(Unavailable, match="refused"):
        store.ensure_schema()
    store.close()


def test_a_connection_that_is_killed_in_mid_transaction_leaves_nothing_of_it(
    store: Store, own_server: OwnPostgres, namespace: str
) -> None:
    faults: list[Exception] = []

    def work() -> None:
        try:
            keep(store, 2)
        except Unavailable as error:
            faults.append(error)

    with slow(own_server, namespace, seconds=60), in_thread(work):
        until(lambda: count(own_server, "wait_event = 'PgSleep'") == 1)
        own_server.kill_connections()
    assert len(faults) == 1
    assert kept(store) == {run_of(1)}
    keep(store, 2)
    assert kept(store) == {run_of(1), run_of(2)}


@contextmanager
def trigger(server: OwnPostgres, namespace: str, body: str) -> Generator[None]:
    table = f"{namespace}_events_permits"  # the last that a transaction writes
    server.run(
        "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body}; RETURN NEW; END $$"
    )
    server.run(
        f"CREATE TRIGGER fault BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION fault()"
    )
    try:
        yield
    finally:
        server.run(f"DROP TRIGGER fault ON {table}")


def slow(server: OwnPostgres, namespace: str, *, seconds: float) -> AbstractContextManager[None]:
    return trigger(server, namespace, f"PERFORM pg_sleep({seconds})")


@pytest.mark.parametrize(
    "sqlstate",
    ["53100", "53200", "53300", "57P01", "58030", "25006", "40001", "40P01", "55P03", "57014",
     "XX000", "XX001", "42501", "42P01", "22000", "23514", "23502", "0A000", "08006", "P0001"],
)  # fmt: skip
def test_whatever_the_server_refuses_with_is_unavailable_and_nothing_is_stored(
    store: Store, own_server: OwnPostgres, namespace: str, sqlstate: str
) -> None:
    refusal = f"RAISE EXCEPTION 'refused with {sqlstate}' USING ERRCODE = '{sqlstate}'"
    with (
        trigger(own_server, namespace, refusal),
        pytest.raises(Unavailable, match=f"refused with {sqlstate}"),
    ):
        keep(store, 2)
    assert kept(store) == {run_of(1)}
    keep(store, 2)
    assert kept(store) == {run_of(1), run_of(2)}
    with pytest.raises(VersionConflict):
        keep(store, 2)


def test_a_database_that_takes_no_writes_is_used_as_soon_as_it_does(
    store: Store, own_server: OwnPostgres
) -> None:
    own_server.run("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        own_server.kill_connections()  # those that are open do not see it
        with pytest.raises(Unavailable):
            keep(store, 2)
        for _ in range(2):
            with pytest.raises(Unavailable, match="read-only"):
                keep(store, 2)
    finally:
        own_server.run("ALTER DATABASE postgres RESET default_transaction_read_only")
    keep(store, 2)  # a connection from before would still be read-only
    assert kept(store) == {run_of(1), run_of(2)}


def test_a_statement_that_takes_too_long_is_given_up_by_the_server(
    own_server: OwnPostgres, store: Store, namespace: str
) -> None:
    url = f"{own_server.url}&options=-c%20statement_timeout%3D200ms"
    hasty = Store(url, namespace=namespace)
    with (
        slow(own_server, namespace, seconds=60),
        pytest.raises(Unavailable, match="statement timeout"),
    ):
        keep(hasty, 2)
    keep(hasty, 2)
    assert kept(store) == {run_of(1), run_of(2)}
    hasty.close()


def test_a_frozen_connection_is_given_up_and_another_one_made(
    store: Store, own_server: OwnPostgres, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server, "SILENCE_SECONDS_MAX", 0.5)
    cable = Cable(own_server.socket_path)
    url = f"postgresql://postgres@127.0.0.1:{cable.port}/postgres?connect_timeout=2"
    far = Store(url, namespace=namespace)
    keep(far, 2)
    cable.is_frozen = True
    with pytest.raises(Unavailable, match="no answer for"):
        keep(far, 3)
    with pytest.raises(Unavailable, match="timeout"):  # nobody greets a new one, either
        keep(far, 3)
    assert far.trouble is not None
    cable.is_frozen = False
    keep(far, 3)
    assert kept(store) == {run_of(1), run_of(2), run_of(3)}
    cable.close()
    with pytest.raises(Unavailable):
        keep(far, 4)
    far.close()


def test_a_server_that_stands_still_is_given_up_and_used_again_when_it_goes_on(
    store: Store, own_server: OwnPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_server, "SILENCE_SECONDS_MAX", 0.5)
    own_server.pause(on=True)
    try:
        with pytest.raises(Unavailable, match="no answer for"):
            keep(store, 2)
    finally:
        own_server.pause(on=False)
    until(lambda: count(own_server, "true") == 0)  # what it began was not committed, or was
    known = kept(store)
    if run_of(2) not in known:
        keep(store, 2)
    assert kept(store) == {run_of(1), run_of(2)}


def test_whoever_stands_still_in_mid_transaction_does_not_hold_up_the_others_for_ever(
    store: Store, own_server: OwnPostgres, namespace: str
) -> None:
    options = "-c%20idle_in_transaction_session_timeout%3D300ms"
    halting = subprocess.Popen(
        [sys.executable, "-c", _HALF, f"{own_server.url}&options={options}", namespace],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert halting.stdout is not None
    assert halting.stdout.readline() == "half\n"
    keep(store, 3)  # waits for the lock that the other holds, until the server takes it away
    assert halting.poll() is None
    halting.kill()
    halting.wait()
    halting.stdout.close()
    assert kept(store) == {run_of(1), run_of(3)}


def test_a_process_killed_in_the_middle_of_a_transaction_leaves_nothing_of_it(
    store: Store, own_server: OwnPostgres, namespace: str
) -> None:
    halting = subprocess.Popen(
        [sys.executable, "-c", _HALF, own_server.url, namespace], stdout=subprocess.PIPE, text=True
    )
    assert halting.stdout is not None
    assert halting.stdout.readline() == "half\n"
    halting.kill()
    halting.wait()
    halting.stdout.close()
    keep(store, 3)
    assert kept(store) == {run_of(1), run_of(3)}


_HALF = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parents[2])]!r}
import dalsegno_orchestrator.storage.postgres as postgres
from dalsegno_orchestrator.store import Store
from integration.recovery.test_database_sqlite import keep

def halt(change):
    print("half", flush=True)
    time.sleep(600)

postgres.checks_of = halt
keep(Store(sys.argv[1], namespace=sys.argv[2]), 2)
"""


def test_every_wait_on_the_server_and_on_the_way_to_it_is_bounded(
    own_server: OwnPostgres,
) -> None:
    own_server.run("ALTER DATABASE postgres SET synchronous_commit = off")
    datastore = open_datastore(own_server.url)
    try:
        with datastore.get_connection() as connection:
            names = (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "synchronous_commit",
            )
            told = [connection.execute(f"SHOW {name}".encode()).fetchall() for name in names]
            parameters = connection.info.get_parameters()
    finally:
        own_server.run("ALTER DATABASE postgres RESET synchronous_commit")
        datastore.close()
    assert [list(rows[0].values()) for rows in told] == [["25s"], ["10s"], ["20s"], ["on"]]
    assert parameters["connect_timeout"] == "5"
    assert parameters["tcp_user_timeout"] == "15000"


def test_the_rest_of_the_url_reaches_the_driver(own_server: OwnPostgres, namespace: str) -> None:
    cable = Cable(own_server.socket_path)
    url = f"postgresql://postgres@127.0.0.1:{cable.port}/postgres?sslmode=require"
    store = Store(url, namespace=namespace)
    with pytest.raises(Unavailable, match="SSL"):  # it has none
        store.ensure_schema()
    store.close()
    cable.close()


def test_every_error_of_the_driver_ends_as_one_of_the_library_which_the_store_knows(
    own_server: OwnPostgres,
) -> None:
    datastore = open_datastore(own_server.url)
    kinds = [*vars(psycopg.errors).values(), *vars(psycopg).values(), OSError, TimeoutError]
    errors = [
        kind
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, psycopg.Error | OSError)
    ]
    assert len(errors) > 200
    for error in errors:
        with pytest.raises(PersistenceError) as caught, datastore.get_connection():
            raise error("broken")
        is_conflict = isinstance(caught.value, IntegrityError)
        assert is_conflict == issubclass(error, psycopg.IntegrityError)
    datastore.close()
