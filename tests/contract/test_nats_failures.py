"""What the NATS bus survives: a server killed and started again, with its data or without."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dalsegno_bus.bus import Bus, Delivery, Entry, Outgoing, Pull
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import PublishFailed, SettingsError, Unavailable
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.nats import NatsBus, connect
from dalsegno_bus.nats.connection import Connection
from dalsegno_bus.nats.frames import Patience
from dalsegno_bus.nats.streams import Provisioner, consumer_config
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import (
    Consumer,
    Stream,
    Topology,
    agent_consumer,
    inbox_consumer,
    topology_of,
)

SECONDS_MAX = 30.0
SUBJECTS = Subjects(namespace="ds", partitions=2)
INBOX = [
    # what is on its way when a server dies comes again after so long
    replace(inbox_consumer(SUBJECTS, partition), ack_wait_seconds=1.0)
    for partition in range(2)
]
TOPOLOGY = topology_of(SUBJECTS) | Topology(consumers=tuple(INBOX))

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, to be mistreated."""
    server = EmbeddedServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(server: EmbeddedServer) -> AsyncIterator[NatsBus]:
    # patience must not hide what should be noticed at once
    patience = Patience(store_seconds=SECONDS_MAX, silence_seconds=3600.0)
    bus = await connect(server.url, name="test", patience=patience)
    await bus.provision(TOPOLOGY)
    yield bus
    await bus.close()


@pytest.fixture
async def admin(server: EmbeddedServer) -> AsyncIterator[Connection]:
    """Somebody with access to the server's own API."""
    connection = Connection(server.url)
    await connection.open("admin")
    yield connection
    await connection.shut()


def request(number: int) -> Outgoing:
    return Outgoing(SUBJECTS.request(new_run_id()), str(number).encode())


async def take(pull: Pull, count: int) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(SECONDS_MAX):
        while len(taken) < count:
            taken += await pull.batch(limit=count - len(taken))
    return taken


async def see(entries: AsyncIterator[Entry | None]) -> Entry | None:
    async with asyncio.timeout(SECONDS_MAX):
        return await anext(entries)


async def until_back(bus: Bus, epoch: int) -> None:
    """Return when the bus has noticed that something happened to the server."""
    async with asyncio.timeout(SECONDS_MAX):
        while bus.epoch == epoch:  # noqa: ASYNC110  # nothing to wait for: it is a number
            await asyncio.sleep(0.01)


async def until_lost(bus: NatsBus) -> None:
    """Return when the bus has noticed that there is no server."""
    async with asyncio.timeout(SECONDS_MAX):
        while not bus.problems():  # noqa: ASYNC110  # it says so only when it is asked
            await asyncio.sleep(0.01)


async def test_a_pull_goes_on_when_the_server_is_killed_and_started_again(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    async with bus.pull(INBOX, ahead=8) as pull:
        await bus.store([request(number) for number in range(20)])
        first = await take(pull, 5)
        epoch = bus.epoch
        await asyncio.to_thread(server.restart)
        await until_back(bus, epoch)
        await bus.store([request(number) for number in range(20, 40)])
        for delivery in first:
            await delivery.ack()
        seen = {delivery.body for delivery in first}
        async with asyncio.timeout(SECONDS_MAX):
            while len(seen) < 40:
                for delivery in await pull.batch(limit=10):
                    seen.add(delivery.body)
                    await delivery.ack()


async def test_a_pull_that_waits_meanwhile_goes_on_too(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    async with bus.pull(INBOX, ahead=8) as pull, asyncio.TaskGroup() as group:
        waiting = group.create_task(take(pull, 1))
        await asyncio.to_thread(server.restart)
        await bus.store([request(1)])
        assert [delivery.body for delivery in await waiting] == [b"1"]


async def test_everything_works_again_after_the_server_lost_all_its_data(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    async with bus.pull(INBOX, ahead=8) as pull:
        await bus.store([request(0)])
        (old,) = await take(pull, 1)
        epoch = bus.epoch
        await asyncio.to_thread(server.restart, wipe=True)
        await until_back(bus, epoch)
        await old.ack()  # of a message that is no more: no harm
        await bus.store([request(1)])
        assert [delivery.body for delivery in await take(pull, 1)] == [b"1"]
        task = Outgoing(SUBJECTS.task("analyst", new_run_id(), "gather", 1), b"{}")
        assert await bus.store([task, task]) == ["stored", "refused"]


async def test_what_was_provisioned_comes_back_by_itself_without_a_reader(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    epoch = bus.epoch
    await asyncio.to_thread(server.restart, wipe=True)
    assert await bus.store([request(1)]) == ["stored"]
    assert bus.epoch > epoch


@pytest.mark.parametrize("what", ["CONSUMER.DELETE.DS_INBOX.inbox-0", "STREAM.DELETE.DS_INBOX"])
async def test_a_pull_makes_anew_what_somebody_deleted(
    bus: NatsBus, admin: Connection, what: str
) -> None:
    async with bus.pull(INBOX, ahead=8) as pull:
        await bus.store([request(0)])
        await (await take(pull, 1))[0].ack()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(take(pull, 20))
            await admin.call(f"$JS.API.{what}")
            await bus.store([request(number) for number in range(20)])
            assert len(await waiting) == 20


async def test_a_stream_made_anew_is_another_epoch(bus: NatsBus, admin: Connection) -> None:
    epoch = bus.epoch
    await bus.provision(TOPOLOGY)
    assert bus.epoch == epoch, "nothing was lost"
    await admin.call("$JS.API.STREAM.DELETE.DS_TASKS")
    await bus.provision(TOPOLOGY)
    assert bus.epoch > epoch


async def test_nothing_confirmed_is_lost_while_the_server_is_killed_again_and_again(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    confirmed: set[int] = set()
    seen: set[int] = set()
    quiet = asyncio.Event()

    async def publish() -> None:
        while not quiet.is_set():
            numbers = range(len(confirmed), len(confirmed) + 50)
            messages = [request(number) for number in numbers]
            with suppress(PublishFailed):
                await bus.store(messages)
                confirmed.update(numbers)
            await asyncio.sleep(0)

    async def mistreat() -> None:
        for _ in range(5):
            before = len(confirmed)
            while len(confirmed) < before + 500:  # noqa: ASYNC110  # nobody rings for a number
                await asyncio.sleep(0.01)
            await asyncio.to_thread(server.restart)
        quiet.set()

    async with (
        bus.pull(INBOX, ahead=100) as pull,
        asyncio.timeout(2 * SECONDS_MAX),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(publish())
        group.create_task(mistreat())
        while not quiet.is_set() or not seen >= confirmed:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    for delivery in await pull.batch(limit=100):
                        seen.add(int(delivery.body))
                        await delivery.ack()
    assert len(confirmed) >= 5 * 500


async def test_a_request_that_got_lost_is_asked_again(server: EmbeddedServer) -> None:
    connection = _Forgetful(server.url)
    await connection.open("test")
    bus = NatsBus(connection, Patience(silence_seconds=0.2))
    await bus.open()
    await bus.provision(TOPOLOGY)
    async with bus.pull(INBOX, ahead=8) as pull:
        await bus.store([request(1)])
        assert [delivery.body for delivery in await take(pull, 1)] == [b"1"]
    assert connection.lost == 3
    await bus.close()


async def test_what_is_sent_while_there_is_no_server_arrives_when_there_is_one(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    await asyncio.to_thread(server.kill)
    await until_lost(bus)
    subject = SUBJECTS.control("analyst")
    async with (
        asyncio.timeout(SECONDS_MAX),
        bus.listen(subject) as messages,
        asyncio.TaskGroup() as group,
    ):
        storing = group.create_task(bus.store([request(1)]))
        await bus.tell(Outgoing(subject, b"x"))
        await asyncio.to_thread(server.start)
        assert await storing == ["stored"]
        assert (await anext(messages)).body == b"x"


async def test_a_store_without_a_server_fails_in_time_and_names_it(server: EmbeddedServer) -> None:
    bus = await connect(server.url, name="test", patience=Patience(store_seconds=0.2))
    await bus.provision(TOPOLOGY)
    await asyncio.to_thread(server.kill)
    await until_lost(bus)
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(PublishFailed, match=f"no connection to {server.url}"):
            await bus.store([request(1)])
    await bus.close()


async def test_listeners_and_questions_outlive_the_server(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    subject = SUBJECTS.query("run")
    async with bus.listen(subject) as messages:
        epoch = bus.epoch
        await asyncio.to_thread(server.restart)
        await until_back(bus, epoch)
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
            asked = group.create_task(bus.ask(Outgoing(subject, b"?"), timeout_seconds=SECONDS_MAX))
            await (await anext(messages)).answer(b"!")
            assert (await asked).body == b"!"


@pytest.mark.parametrize("wipe", [False, True])
async def test_a_watch_tells_only_what_changed_meanwhile(
    server: EmbeddedServer, bus: NatsBus, *, wipe: bool
) -> None:
    bucket = bus.bucket(SUBJECTS.agents_bucket)
    await bucket.put("card.a", b"one")
    await bucket.put("card.b", b"two")
    async with bucket.watch() as entries:
        assert [await see(entries) for _ in range(3)][-1] is None
        epoch = bus.epoch
        await asyncio.to_thread(server.restart, wipe=wipe)
        await until_back(bus, epoch)
        if wipe:
            gone = [await see(entries) for _ in range(2)]
            assert [(entry.key, entry.value) for entry in gone if entry] == [
                ("card.a", None),
                ("card.b", None),
            ]
        await bucket.put("card.c", b"three")
        entry = await see(entries)
        assert entry is not None
        assert (entry.key, entry.value) == ("card.c", b"three")
        await bucket.put("card.a", b"anew")
        entry = await see(entries)
        assert entry is not None
        assert (entry.key, entry.value) == ("card.a", b"anew")


async def test_a_watch_is_not_misled_by_revisions_that_count_anew(
    server: EmbeddedServer, bus: NatsBus
) -> None:
    bucket = bus.bucket(SUBJECTS.agents_bucket)
    await bucket.put("card.a", b"one")
    await bucket.put("card.b", b"two")
    async with bucket.watch() as entries:
        assert [await see(entries) for _ in range(3)][-1] is None
        epoch = bus.epoch
        await asyncio.to_thread(server.restart, wipe=True)
        await until_back(bus, epoch)
        assert await bucket.put("card.a", b"anew") == 1
        told = [await see(entries) for _ in range(2)]
        assert {(entry.key, entry.value) for entry in told if entry} == {
            ("card.a", b"anew"),
            ("card.b", None),
        }


async def test_an_outage_is_logged_once_not_with_every_attempt(
    server: EmbeddedServer, bus: NatsBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    epoch = bus.epoch
    async with bus.pull(INBOX, ahead=8):
        assert bus.problems() == []
        await asyncio.to_thread(server.kill)
        await until_lost(bus)
        assert bus.problems() == [f"no connection to {server.url}"]
        await asyncio.sleep(0.5)  # several attempts; were there none, the test would hold as well
        await asyncio.to_thread(server.start)
        await until_back(bus, epoch)
    events = [record.message for record in caplog.records]
    assert events == ["bus.disconnected", "bus.reconnected"]
    assert all(record.exc_info is None for record in caplog.records)


async def test_a_server_that_is_not_there_is_named_in_one_sentence(
    server: EmbeddedServer,
) -> None:
    await asyncio.to_thread(server.stop)
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(Unavailable, match=f"127.0.0.1:{server.port}") as failed:
            await connect(f"nats://user:secret@127.0.0.1:{server.port}", name="test")
    assert "secret" not in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("url", ["", ",", "nats://host:x", "nats://"])
async def test_what_is_no_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match=r"DALSEGNO_NATS_URL.*nats://host:port"):
        await connect(url, name="test")


async def test_settings_that_the_server_will_not_change_are_named(bus: NatsBus) -> None:
    subjects = (f"{SUBJECTS.namespace}.other",)
    await bus.provision(Topology(streams=(Stream("DS_OTHER", subjects, "work", 10),)))
    with pytest.raises(SettingsError, match="DS_OTHER"):
        await bus.provision(Topology(streams=(Stream("DS_OTHER", subjects, "log", 10),)))


async def test_a_second_consumer_for_the_same_work_is_refused(bus: NatsBus) -> None:
    first = agent_consumer(SUBJECTS, "analyst")
    second = Consumer(first.stream, "thief", first.patterns, first.ack_wait_seconds)
    await bus.provision(Topology(consumers=(first,)))
    with pytest.raises(SettingsError, match="thief"):
        await bus.provision(Topology(consumers=(second,)))


class _Forgetful(Connection):
    """Loses the first three requests for messages, as if a server had forgotten them."""

    lost = 0

    def send(self, frame: bytes) -> bool:
        if b"CONSUMER.MSG.NEXT" in frame and self.lost < 3:
            self.lost += 1
            return True
        return super().send(frame)


async def test_a_stream_that_is_lost_before_its_consumer_is_made_is_no_wrong_setting(
    server: EmbeddedServer,
) -> None:
    wire = Connection(server.url)
    await wire.open("test")
    with pytest.raises(Unavailable, match="not found"):
        await Provisioner(wire).consumer("GONE", consumer_config(INBOX[0]))
    await wire.shut()
