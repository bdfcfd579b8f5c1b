"""What the NATS bus makes of a bad network: connections cut, frozen, held up and slow."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import PublishFailed, Unavailable
from dalsegno_bus.nats import NatsBus, connect, connection
from dalsegno_bus.nats.frames import Patience
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import Topology
from support.proxy import Proxy
from tests.contract.conftest import SECONDS_MAX, ack_all, hear, job, see, take, worker

PATIENCE = Patience(store_seconds=1.0, silence_seconds=3600.0, ping_seconds=0.1)
"""Only pings may notice; a pull's own watch would hide it."""

SOON_SECONDS = 0.2
"""For what is sure not to come."""

pytestmark = pytest.mark.slow


@pytest.fixture
async def proxy(nats_server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with Proxy(lambda: nats_server.port) as proxy:
        yield proxy


@pytest.fixture
async def bus(proxy: Proxy) -> AsyncIterator[NatsBus]:
    """A bus whose bytes go through the proxy."""
    bus = await connect(proxy.url, name="test", patience=PATIENCE)
    yield bus
    await bus.close()


@pytest.fixture
async def direct(nats_server: EmbeddedServer) -> AsyncIterator[NatsBus]:
    """A bus that the proxy cannot disturb."""
    bus = await connect(nats_server.url, name="direct")
    yield bus
    await bus.close()


def disturb(proxy: Proxy, how: str) -> None:
    {"cut": proxy.cut, "freeze": proxy.freeze, "hold": proxy.hold}[how]()


async def until_lost(bus: NatsBus) -> None:
    """Return when the bus has noticed that nobody answers."""
    async with asyncio.timeout(SECONDS_MAX):
        while not bus.problems():  # noqa: ASYNC110  # it says so only when it is asked
            await asyncio.sleep(0.01)


async def until_well(bus: NatsBus) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while bus.problems():  # noqa: ASYNC110  # it says so only when it is asked
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("how", ["cut", "freeze", "hold"])
async def test_a_pull_that_waits_goes_on_after_the_network_is_back(
    bus: NatsBus, direct: Bus, proxy: Proxy, subjects: Subjects, how: str
) -> None:
    consumer = worker(subjects, ack_wait_seconds=1.0)
    await direct.provision(Topology(consumers=(consumer,)))
    async with bus.pull([consumer], ahead=8) as pull, asyncio.TaskGroup() as group:
        waiting = group.create_task(take(pull, 1))
        disturb(proxy, how)
        await until_lost(bus)
        await direct.store([job(subjects, "a")])
        assert not waiting.done()
        proxy.heal()
        await ack_all(await waiting)
        await direct.store([job(subjects, "b")])
        (second,) = await take(pull, 1)
        assert second.subject == job(subjects, "b").subject


@pytest.mark.parametrize("how", ["cut", "freeze", "hold"])
async def test_a_store_in_a_dead_network_fails_in_time_and_succeeds_afterwards(
    bus: NatsBus, direct: Bus, proxy: Proxy, subjects: Subjects, how: str
) -> None:
    consumer = worker(subjects)
    await direct.provision(Topology(consumers=(consumer,)))
    disturb(proxy, how)
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(PublishFailed, match=r"lost before|not confirmed|no connection"):
            await bus.store([job(subjects, "a")])
    proxy.heal()
    await until_well(bus)
    assert list(await bus.store([job(subjects, "b")])) == ["stored"]


@pytest.mark.parametrize("how", ["cut", "freeze", "hold"])
async def test_a_listener_and_a_watch_go_on_after_the_network_is_back(
    bus: NatsBus, direct: Bus, proxy: Proxy, subjects: Subjects, how: str
) -> None:
    subject = subjects.control("analyst")
    bucket, other = (one.bucket(subjects.agents_bucket) for one in (bus, direct))
    await other.put("card.a", b"1")
    async with bus.listen(subject) as messages, bucket.watch() as entries:
        assert [await see(entries) for _ in range(2)][-1] is None
        epoch = bus.epoch
        disturb(proxy, how)
        await until_lost(bus)
        await other.put("card.a", b"2")
        proxy.heal()
        entry = await see(entries)
        assert entry is not None
        assert entry.value == b"2"
        assert bus.epoch > epoch
        await direct.tell(Outgoing(subject, b"x"))
        assert (await hear(messages)).body == b"x"


@pytest.mark.parametrize("how", ["cut", "freeze", "hold"])
async def test_nothing_that_is_asked_in_a_dead_network_waits_for_ever(
    bus: NatsBus,
    direct: Bus,
    proxy: Proxy,
    subjects: Subjects,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    consumer = worker(subjects)
    bucket = bus.bucket(subjects.leases_bucket)
    revision = await bucket.put("partition.1", b"1")
    disturb(proxy, how)
    await until_lost(bus)
    monkeypatch.setattr(connection, "API_SECONDS_MAX", SOON_SECONDS)
    async with asyncio.timeout(2 * SECONDS_MAX), asyncio.TaskGroup() as group:
        for attempt in (
            bus.provision(Topology(consumers=(consumer,))),
            bus.reset(consumer),
            bus.purge(consumer.stream, subjects.task_pattern("a")),
            bus.ask(Outgoing(subjects.ask("a"), b"?"), timeout_seconds=SOON_SECONDS),
            bucket.get("partition.1"),
            bucket.create("partition.2", b"2"),
            bucket.update("partition.1", b"2", revision),
            bucket.delete("partition.1", revision=revision),
        ):
            group.create_task(_fails(attempt))
    await direct.close()


async def _fails(attempt: object) -> None:
    with pytest.raises((Unavailable, PublishFailed)):
        await attempt  # type: ignore[misc]


async def test_a_connection_whose_buffers_are_full_is_given_up_all_the_same(
    bus: NatsBus, direct: Bus, proxy: Proxy, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await direct.provision(Topology(consumers=(consumer,)))
    proxy.hold()
    large = [job(subjects, str(number), bytes(1_000_000)) for number in range(20)]
    async with asyncio.timeout(SECONDS_MAX):
        with pytest.raises(PublishFailed):
            await bus.store(large)
    await until_lost(bus)
    proxy.heal()
    await until_well(bus)
    assert list(await bus.store([job(subjects, "a")])) == ["stored"]


async def test_a_bus_is_closed_though_nobody_takes_what_it_sent(
    proxy: Proxy, subjects: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = replace(PATIENCE, ping_seconds=3600.0)
    bus = await connect(proxy.url, name="test", patience=patient)
    proxy.hold()
    monkeypatch.setattr(connection, "SERVER_SECONDS_MAX", SOON_SECONDS)
    for number in range(7):
        await bus.tell(Outgoing(subjects.control(f"a{number}"), bytes(1_000_000)))
    async with asyncio.timeout(SECONDS_MAX):
        await bus.close()
        with pytest.raises(Unavailable):
            await bus.tell(Outgoing(subjects.control("a"), b""))


async def test_a_slow_network_delays_and_loses_nothing(
    bus: NatsBus, direct: Bus, proxy: Proxy, subjects: Subjects
) -> None:
    consumer = worker(subjects)
    await direct.provision(Topology(consumers=(consumer,)))
    epoch = bus.epoch
    proxy.slow(400_000)
    async with bus.pull([consumer], ahead=20) as pull:
        sent = [job(subjects, str(number), bytes(2_000)) for number in range(60)]
        assert set(await bus.store(sent)) == {"stored"}
        taken = await take(pull, len(sent))
    assert [one.subject for one in taken] == [one.subject for one in sent]
    assert bus.epoch == epoch


async def test_a_network_that_flaps_ends_up_with_one_good_connection(
    bus: NatsBus, direct: Bus, proxy: Proxy, subjects: Subjects
) -> None:
    consumer = worker(subjects, ack_wait_seconds=1.0)
    await direct.provision(Topology(consumers=(consumer,)))
    async with bus.pull([consumer], ahead=8) as pull:
        for number in range(6):
            disturb(proxy, ("cut", "freeze", "hold")[number % 3])
            await until_lost(bus)
            await asyncio.sleep(0.05 * number)  # attempts are cut off at different points
            proxy.heal()
        await until_well(bus)
        await direct.store([job(subjects, "a")])
        await ack_all(await take(pull, 1))
