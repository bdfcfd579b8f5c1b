"""`dalsegno doctor` at real servers, with one thing after another made wrong."""

import asyncio
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from dalsegno.doctor.examination import examine
from dalsegno.doctor.facts import Finding, Profile
from dalsegno.doctor.settings import DoctorSettings
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.messages import AgentCard
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.topology import Topology, agent_consumer, dead_letters, topology_of
from dalsegno_orchestrator.store import Store
from tests.integration.deploy.conftest import Typed


class Server(EmbeddedServer):
    """A NATS server with settings of its own; one that is None is left out."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder)
        self._settings = settings

    @property
    def monitor(self) -> str:
        """Where its monitoring port is."""
        [ports] = self.folder.glob("*.ports")
        url: str = orjson.loads(ports.read_bytes())["monitoring"][0]
        return url

    def _config(self) -> bytes:
        config = orjson.loads(super()._config()) | self._settings
        return orjson.dumps({key: value for key, value in config.items() if value is not None})


@contextmanager
def server(folder: Path, **settings: Any) -> Generator[Server]:
    made = Server(folder, **settings)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def settings(nats_server: EmbeddedServer, namespace: str, tmp_path: Path) -> DoctorSettings:
    """Of an installation whose event store is there."""
    url = f"sqlite:///{tmp_path}/store.db"
    store = Store(url, namespace=namespace)
    store.ensure_schema()
    store.close()
    return DoctorSettings(
        nats_url=nats_server.url,
        namespace=namespace,
        partitions=2,
        store_url=url,
        artifacts_url=str(tmp_path / "artifacts"),
    )


@pytest.fixture
async def bus(settings: DoctorSettings) -> Any:
    """A connection to servers that hold all they should."""
    opened = await connect(settings.nats_url, name="test")
    await opened.provision(topology_of(settings.subjects))
    yield opened
    await opened.close()


async def said(
    settings: DoctorSettings, about: str, *, profile: Profile = "local", **more: Any
) -> list[Finding]:
    """What a doctor finds about one thing."""
    found = await examine(settings, profile, **more)
    return [one for one in found if one.about == about]


async def lease(bus: NatsBus, settings: DoctorSettings, **keys: dict[str, Any]) -> None:
    bucket = bus.bucket(settings.subjects.leases_bucket)
    for key, value in keys.items():
        await bucket.put(key.replace("_", "."), orjson.dumps(value))


async def test_nats_that_is_away_is_a_finding_and_the_rest_is_looked_at(
    settings: DoctorSettings,
) -> None:
    away = settings.model_copy(update={"nats_url": "nats://127.0.0.1:1"})
    [found] = await said(away, "NATS")
    assert found.level == "bad"
    assert found.what.startswith("no NATS server answers at nats://127.0.0.1:1")
    assert "DALSEGNO_NATS_URL" in found.todo
    assert [one.level for one in await said(away, "event store")] == ["ok"]


async def test_a_server_without_jetstream_is_told(settings: DoctorSettings, tmp_path: Path) -> None:
    with server(tmp_path / "nats", jetstream=None) as plain:
        [found] = await said(settings.model_copy(update={"nats_url": plain.url}), "JetStream")
    assert (found.level, found.what) == ("bad", "it is off: nothing can be stored")


@pytest.mark.parametrize(("interval", "level"), [("always", "ok"), ("10s", "warn")])
async def test_what_is_not_forced_to_disk_at_once_is_told_for_production(
    settings: DoctorSettings, tmp_path: Path, interval: str, level: str
) -> None:
    folder = tmp_path / "nats"
    jetstream = {"store_dir": str(folder / "js"), "sync_interval": interval}
    with server(folder, http="127.0.0.1:-1", jetstream=jetstream) as nats:
        here = {"nats_url": nats.url, "nats_monitor_url": nats.monitor}
        [found] = await said(
            settings.model_copy(update=here), "sync_interval", profile="production"
        )
    assert found.level == level
    assert ("10 s" in found.what) == (level == "warn")


async def test_production_wants_copies_tls_postgresql_and_to_see_the_interval(
    settings: DoctorSettings, bus: NatsBus
) -> None:
    await lease(bus, settings, member_ada={"incarnation": "a"})
    found = await examine(settings, "production")
    told = " | ".join(f"{one.about}: {one.what}" for one in found if one.level == "warn")
    assert "sync_interval cannot be seen" in told
    assert "fewer than 3 copies" in told
    assert "not encrypted" in told
    assert "the event store is an SQLite file" in told
    assert "only ada is here" in told
    wanted = {"sync_interval", "replicas", "NATS"}
    assert not [
        f for f in await examine(settings, "local") if f.level != "ok" and f.about in wanted
    ]


async def test_a_monitoring_port_where_nobody_answers_is_told(settings: DoctorSettings) -> None:
    for url in ("http://127.0.0.1:1", "file:///etc/passwd"):
        here = settings.model_copy(update={"nats_monitor_url": url})
        [found] = await said(here, "sync_interval")
        assert (found.level, url in found.what) == ("warn", True)


async def test_what_is_as_it_should_be_is_no_problem(
    settings: DoctorSettings, bus: NatsBus
) -> None:
    del bus
    [found] = await said(settings, "topology")
    assert (found.level, found.what[:24]) == ("ok", "3 streams, 2 consumers a")


async def test_streams_and_consumers_that_are_missing_are_named_and_not_made(
    settings: DoctorSettings, bus: NatsBus
) -> None:
    name = settings.subjects.dead_stream
    await bus.ask(Outgoing(f"$JS.API.STREAM.DELETE.{name}", b""), timeout_seconds=5)
    inbox = settings.subjects.inbox_stream
    await bus.ask(Outgoing(f"$JS.API.CONSUMER.DELETE.{inbox}.inbox-1", b""), timeout_seconds=5)
    for _ in range(2):  # looking changes nothing
        found = {one.what: one.level for one in await said(settings, "topology")}
        assert found == {f"stream {name} is missing": "bad", "consumer inbox-1 is missing": "bad"}


async def test_every_field_that_differs_is_named(settings: DoctorSettings, bus: NatsBus) -> None:
    stream = replace(dead_letters(settings.subjects), messages_max=7, subjects=("other.x.*",))
    consumer = replace(topology_of(settings.subjects).consumers[0], ack_wait_seconds=99.0)
    subjects = settings.subjects
    await bus.provision(Topology(streams=(stream,), consumers=(consumer,)))
    told = "\n".join(one.what for one in await said(settings, "topology"))
    assert f"stream {subjects.dead_stream}: max_msgs is 7, not 100000" in told
    assert "'other.x.*' too much" in told
    assert f"'{subjects.namespace}.dead.*' missing" in told
    assert "consumer inbox-0: ack_wait is 99000000000, not 10000000000" in told


async def test_other_numbers_of_partitions_are_told(settings: DoctorSettings, bus: NatsBus) -> None:
    del bus
    [found] = await said(settings.model_copy(update={"partitions": 1}), "partitions")
    assert (found.level, "inbox-1" in found.what) == ("bad", True)


async def test_partitions_without_an_owner_that_is_here_are_told(
    settings: DoctorSettings, bus: NatsBus
) -> None:
    assert [one.level for one in await said(settings, "orchestrators")] == ["bad"]
    [free] = await said(settings, "leases")
    assert (free.level, free.what) == ("bad", "partitions that nobody owns: 0, 1")
    owned = {"owner": "ada", "incarnation": "a", "epoch": 1}
    await lease(bus, settings, member_ada={"incarnation": "a"}, partition_0=owned)
    await lease(bus, settings, partition_1=owned | {"incarnation": "older"})
    [gone] = await said(settings, "leases")
    assert gone.what == "partitions whose owner is gone: 1 (ada, an earlier one of that name)"
    await lease(bus, settings, partition_1=owned | {"owner": "bo"})
    [gone] = await said(settings, "leases")
    assert gone.what == "partitions whose owner is gone: 1 (bo)"
    await lease(bus, settings, partition_1=owned)
    assert [one.level for one in await said(settings, "leases")] == ["ok"]


async def test_agents_without_a_replica_are_named(settings: DoctorSettings, bus: NatsBus) -> None:
    assert "no agent has ever been here" in (await said(settings, "agents"))[0].what
    card = AgentCard(agent="analyst", capabilities=())
    bucket = bus.bucket(settings.subjects.agents_bucket)
    await bucket.put("card.analyst", card.model_dump_json().encode())
    [found] = await said(settings, "agents")
    assert (found.level, "analyst has no live replica" in found.what) == ("warn", True)
    [missing] = await said(settings, "topology")
    assert missing.what == "consumer agent-analyst is missing"
    own = replace(agent_consumer(settings.subjects, "analyst"), ack_wait_seconds=1.0)
    await bus.provision(Topology(consumers=(own,)))
    await bucket.put("live.analyst.r1", b"{}")
    assert [one.level for one in await said(settings, "agents")] == ["ok"]
    assert [one.level for one in await said(settings, "topology")] == ["ok"]


async def test_a_backlog_is_told_by_partition(settings: DoctorSettings, bus: NatsBus) -> None:
    subject = f"{settings.namespace}.run.1.x"
    await bus.store([Outgoing(subject, b"{}") for _ in range(1_000)])
    [found] = await said(settings, "backlog")
    assert (found.level, found.what) == ("warn", "1 partition behind: inbox-1 1000")


async def test_dead_letters_are_counted(settings: DoctorSettings, bus: NatsBus) -> None:
    assert [one.level for one in await said(settings, "dead letters")] == ["ok"]
    await bus.store([Outgoing(settings.subjects.dead("tester"), b"{}")])
    [found] = await said(settings, "dead letters")
    assert (found.level, "dalsegno dead list" in found.todo) == ("warn", True)


async def test_projections_that_are_away_are_told(settings: DoctorSettings, bus: NatsBus) -> None:
    del bus
    [found] = await said(settings, "views")
    assert (found.level, "start one: dalsegno projections" in found.todo) == ("bad", True)


@pytest.mark.parametrize(("seconds", "level"), [(0, "ok"), (5, "warn"), (-90, "bad")])
async def test_clocks_that_differ_are_told(
    settings: DoctorSettings, bus: NatsBus, postgres_url: str, seconds: int, level: str
) -> None:
    del bus
    here = settings.model_copy(update={"store_url": postgres_url})
    found = await said(here, "clocks", now=lambda: utc_now() + timedelta(seconds=seconds))
    assert [one.level for one in found] == [level] * 2
    if seconds:
        side = "behind" if seconds > 0 else "ahead of"
        assert all(f"{abs(seconds)}.0 s {side}" in one.what for one in found)


# --- the event store ----------------------------------------------------------------------------


async def test_a_store_that_is_not_there_is_told_and_not_made(
    settings: DoctorSettings, tmp_path: Path
) -> None:
    file = tmp_path / "none.db"
    here = settings.model_copy(update={"store_url": f"sqlite:///{file}"})
    [found] = await said(here, "event store")
    assert (found.level, "there is none" in found.what, file.exists()) == ("bad", True, False)


@pytest.mark.parametrize("url", ["postgresql://me:secret@127.0.0.1:1/x", "oracle://x"])
async def test_a_store_that_does_not_answer_is_told(settings: DoctorSettings, url: str) -> None:
    [found] = await said(settings.model_copy(update={"store_url": url}), "event store")
    assert (found.level, "secret" in found.what) == ("bad", False)


async def test_a_file_that_is_no_database_is_told(settings: DoctorSettings, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all" * 100)
    [found] = await said(settings, "event store")
    assert (found.level, "cannot be read" in found.what) == ("bad", True)


async def test_sqlite_forces_to_disk_and_its_schema_is_known(settings: DoctorSettings) -> None:
    assert [one.level for one in await said(settings, "durability")] == ["ok"]
    assert [one.level for one in await said(settings, "schema")] == ["ok"]


async def test_tables_of_a_newer_version_are_told(settings: DoctorSettings, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute(f"UPDATE {settings.namespace}_events_schema SET version = 99")
    connection.close()
    [found] = await said(settings, "event store")
    assert (found.level, "schema 99" in found.what) == ("bad", True)


async def test_postgresql_that_does_not_force_to_disk_is_told(
    settings: DoctorSettings, postgres_url: str
) -> None:
    here = settings.model_copy(update={"store_url": postgres_url})
    store = Store(postgres_url, namespace=settings.namespace)
    await asyncio.to_thread(store.ensure_schema)
    await asyncio.to_thread(store.close)
    assert [one.level for one in await said(here, "event store")] == ["ok"]
    assert [one.level for one in await said(here, "schema")] == ["ok"]
    lazy = (
        f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20synchronous_commit%3Doff"
    )
    found = await said(settings.model_copy(update={"store_url": lazy}), "durability")
    assert [one.level for one in found if "synchronous_commit=off" in one.what] == ["warn"]


# --- this machine, and the command --------------------------------------------------------------


async def test_artifacts_that_cannot_be_written_are_told(
    settings: DoctorSettings, tmp_path: Path
) -> None:
    file = tmp_path / "a-file"
    file.touch()
    [found] = await said(settings.model_copy(update={"artifacts_url": str(file)}), "artifacts")
    assert (found.level, "cannot be used" in found.what) == ("bad", True)


@pytest.fixture
def told(typed: Typed, settings: DoctorSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    del typed
    for name in ("namespace", "partitions", "nats_url", "store_url", "artifacts_url"):
        monkeypatch.setenv(f"DALSEGNO_{name.upper()}", str(getattr(settings, name)))


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("columns", ["80", "100"])
def test_the_command_ends_with_1_where_something_is_bad_and_fits_the_terminal(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    code, out, said_ = typed("doctor")
    assert code == 1
    assert out.splitlines()[1].startswith("bad")
    assert all(len(line) <= int(columns) for line in out.splitlines())
    assert " bad, " in said_[-1]
    code, out, _ = typed("doctor", "--json")
    findings = orjson.loads(out)["findings"]
    assert code == 1
    assert {one["level"] for one in findings} >= {"bad", "ok"}
    assert all(one["todo"] for one in findings if one["level"] != "ok")
    assert "\nok" not in typed("doctor", "--problems")[1]


def test_a_stack_that_runs_is_well(typed: Typed, stack_folder: Path) -> None:
    code, out, _ = typed("doctor", "--folder", str(stack_folder), "--json")
    bad = [one for one in orjson.loads(out)["findings"] if one["level"] == "bad"]
    assert (code, bad) == (0, [])
