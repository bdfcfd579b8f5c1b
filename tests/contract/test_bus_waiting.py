"""Services wait for a NATS server that is not there yet; what is set wrongly ends them at once."""

import asyncio
import logging
from pathlib import Path

import pytest

from dalsegno_bus import waiting
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import SettingsError, Unavailable
from dalsegno_bus.nats import connect, connection
from dalsegno_bus.nats.connection import Connection
from dalsegno_bus.nats.frames import Answer, ApiFault
from dalsegno_bus.nats.streams import Provisioner, consumer_config
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import inbox_consumer, topology_of
from dalsegno_bus.waiting import entered, patiently
from support.proxy import Proxy
from tests.contract.conftest import SECONDS_MAX

SUBJECTS = Subjects(partitions=8)
SOON_SECONDS = 0.3
"""For what is sure not to come."""


async def test_what_is_there_is_returned_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def attempt() -> int:
        return 7

    assert await patiently("nats", attempt) == 7
    assert caplog.records == []


async def test_waiting_is_said_once_and_told_to_health_each_time(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECONDS_MIN", 0.01)
    caplog.set_level(logging.INFO)
    faults: list[str] = []

    async def attempt() -> int:
        if len(faults) < 3:
            raise Unavailable("not yet")
        return 7

    async with asyncio.timeout(SECONDS_MAX):
        assert await patiently("nats", attempt, on_fault=faults.append) == 7
    assert faults == ["not yet"] * 3
    assert [record.message for record in caplog.records] == ["start.waits", "start.goes_on"]


async def test_any_other_error_ends_the_wait() -> None:
    async def attempt() -> int:
        raise SettingsError("wrong")

    with pytest.raises(SettingsError, match="wrong"):
        await patiently("nats", attempt)


@pytest.mark.slow
async def test_a_server_that_starts_late_is_waited_for(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()  # for a port of its own
    server.stop()
    waits = asyncio.Event()
    async with asyncio.timeout(2 * SECONDS_MAX), asyncio.TaskGroup() as group:
        connecting = group.create_task(
            patiently(
                "nats", lambda: connect(server.url, name="test"), on_fault=lambda _: waits.set()
            )
        )
        await waits.wait()
        server.start()
        bus = await connecting
    await patiently("provision", lambda: bus.provision(topology_of(SUBJECTS)))
    await bus.close()
    server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("wipe", [False, True])
async def test_a_server_that_restarts_while_it_is_provisioned_is_provisioned_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wipe: bool
) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    bus = await connect(server.url, name="test")
    topology = topology_of(SUBJECTS)

    async def provision() -> None:
        await patiently("provision", lambda: bus.provision(topology))

    async with asyncio.timeout(3 * SECONDS_MAX), asyncio.TaskGroup() as group:
        with monkeypatch.context() as impatient:
            impatient.setattr(connection, "API_SECONDS_MAX", SOON_SECONDS)
            for pause in (0.0, 0.01, 0.05):
                provisioning = group.create_task(provision())
                await asyncio.sleep(pause)  # wherever it has come to
                await asyncio.to_thread(server.restart, wipe=wipe)
                await provisioning
        await bus.provision(topology)
        for stream in topology.streams:
            assert (await bus.span(stream)).count == 0
    await bus.close()
    server.stop()


@pytest.mark.slow
async def test_a_server_that_ends_in_good_order_meanwhile_is_no_wrong_setting(
    tmp_path: Path,
) -> None:
    server = EmbeddedServer(tmp_path)
    server.start()
    bus = await connect(server.url, name="test")

    async def provision_for_ever() -> None:
        while True:
            await patiently("provision", lambda: bus.provision(topology_of(SUBJECTS)))

    async with asyncio.timeout(2 * SECONDS_MAX), asyncio.TaskGroup() as group:
        provisioning = group.create_task(provision_for_ever())
        for _ in range(4):
            await asyncio.sleep(0.1)  # so that something is on its way
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
        assert not provisioning.done()
        provisioning.cancel()
    await bus.close()
    server.stop()


@pytest.mark.slow
async def test_wrong_credentials_are_a_wrong_setting_and_are_not_shown(tmp_path: Path) -> None:
    server = _Guarded(tmp_path)
    server.start()
    place = server.url.removeprefix("nats://")
    bus = await connect(f"nats://anna:right@{place}", name="test")
    await bus.close()
    async with asyncio.timeout(SECONDS_MAX):
        for who in ("", "anna:wrong@"):
            url = f"nats://{who}{place}"
            with pytest.raises(SettingsError, match="DALSEGNO_NATS_URL") as failed:
                await patiently("nats", lambda url=url: connect(url, name="test"))
            assert "wrong" not in str(failed.value)
    server.stop()


class _Guarded(EmbeddedServer):
    """A server that asks who is there."""

    def _config(self) -> bytes:
        return super()._config()[:-1] + b',"authorization":{"user":"anna","password":"right"}}'


@pytest.mark.slow
async def test_a_server_that_accepts_and_says_nothing_counts_as_away(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SERVER_SECONDS_MAX", SOON_SECONDS)
    async with Proxy(lambda: nats_server.port) as proxy:
        proxy.freeze()
        async with asyncio.timeout(SECONDS_MAX):
            with pytest.raises(Unavailable, match="no NATS server answers"):
                await connect(proxy.url, name="test")


@pytest.mark.slow
async def test_a_server_of_another_kind_counts_as_away() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO" + bytes(200_000))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        async with asyncio.timeout(SECONDS_MAX):
            with pytest.raises(Unavailable, match="no NATS server"):
                await connect(f"nats://127.0.0.1:{port}", name="test")


@pytest.mark.slow
async def test_who_listens_while_the_network_is_dead_hears_as_soon_as_it_lives(
    nats_server: EmbeddedServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subjects = Subjects(namespace="deaf", partitions=1)

    def is_waiting_for(what: str) -> bool:
        fields = [getattr(record, "fields", {}) for record in caplog.records]
        return any(one.get("waits_for") == what for one in fields)

    async with Proxy(lambda: nats_server.port) as proxy:
        bus = await connect(proxy.url, name="test")
        await bus.provision(topology_of(subjects))
        bucket = bus.bucket(subjects.leases_bucket)
        await bucket.put("key", b"value")
        proxy.hold()
        monkeypatch.setattr(connection, "API_SECONDS_MAX", SOON_SECONDS)

        async def watch() -> None:
            async with entered("watch", bucket.watch) as entries:
                entry = await anext(entries)
                assert entry is not None
                assert entry.value == b"value"

        async def hear() -> None:
            async with entered("hear", lambda: bus.listen("deaf.said")) as heard:
                await bus.tell(Outgoing("deaf.said", b"word"))
                assert (await anext(heard)).body == b"word"

        async with asyncio.timeout(2 * SECONDS_MAX), asyncio.TaskGroup() as group:
            group.create_task(watch())
            group.create_task(hear())
            while not (is_waiting_for("watch") and is_waiting_for("hear")):  # noqa: ASYNC110 - a log
                await asyncio.sleep(0.02)
            monkeypatch.undo()
            proxy.heal()
        await bus.close()


class _Raced(Connection):
    """Finds the files of a consumer damaged, and then somebody else makes it with new ones."""

    is_raced = False

    async def call(self, subject: str, body: bytes = b"") -> Answer:
        if ".CONSUMER.CREATE." in subject and not self.is_raced:
            self.is_raced = True
            await super().call(subject, body)
            raise ApiFault(10012, "consumer files are damaged")
        return await super().call(subject, body)


@pytest.mark.slow
async def test_a_consumer_that_another_process_mends_meanwhile_is_no_wrong_setting(
    nats_server: EmbeddedServer,
) -> None:
    subjects = Subjects(namespace="raced", partitions=1)
    bus = await connect(nats_server.url, name="test")
    await bus.provision(topology_of(subjects))
    wire = _Raced(nats_server.url)
    await wire.open("test")

    consumer = inbox_consumer(subjects, 0)
    made = await Provisioner(wire).consumer(consumer.stream.name, consumer_config(consumer))

    assert wire.is_raced
    assert made["name"] == consumer.name
    await wire.shut()
    await bus.close()
