"""How each fault is done to a stand, and how it is undone.

Owns the hurting; what is hurt, and when, is decided by `nemesis`.
"""

import asyncio
import resource
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Final

import nats
import psycopg
from nats.errors import Error as NatsError

from chaos.nats import Node, limit_files
from chaos.nemesis import Fault, touched
from chaos.stand import Stand
from support.proxy import Proxy

SLOW_BYTES_PER_SECOND: Final = 20_000
ROOM_BYTES: Final = 65_536
"""Files of a process that has no room may be this large, and the event store is larger."""
_SERVER_SECONDS_MAX: Final = 5.0


class Nemesis:
    """Does a list of faults to a stand.

    Args:
        tell: Hears of each fault as it begins and ends, for people.
    """

    def __init__(self, stand: Stand, *, seed: int, tell: Callable[[str], None]) -> None:
        self.done: Counter[str] = Counter()
        """How many of each kind were done."""
        self.failed: Counter[str] = Counter()
        """How many of each kind could not be done; what they had hurt was healed."""
        self._stand = stand
        self._random = Random(seed)
        self._tell = tell
        self._locks = {name: asyncio.Lock() for name in stand.shape.nodes}

    async def rage(self, faults: Sequence[Fault]) -> None:
        """Do all of them, each at its time, and return when the last has been undone."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(0.0, began + fault.at - loop.time()))
                group.create_task(self._one(fault))

    async def _one(self, fault: Fault) -> None:
        async with AsyncExitStack() as alone:
            # A server may take longer to come up than was planned: one harm to it at a time.
            for name in sorted(touched(fault.kind, fault.target, self._stand.shape)):
                if name in self._locks:
                    await alone.enter_async_context(self._locks[name])
            more = f", clock {fault.skew:+.2f} s" if fault.kind == "skew" else ""
            self._tell(f"{fault.at:6.1f}  {fault.kind}: {fault.target} {fault.seconds:.1f} s{more}")
            try:
                async with self._harm(fault):
                    self.done[fault.kind] += 1
                    await asyncio.sleep(fault.seconds)
            except (OSError, TimeoutError, NatsError, psycopg.Error) as error:
                self.failed[fault.kind] += 1
                self._tell(f"        {fault.kind}: {fault.target} failed: {error!r}")

    @asynccontextmanager
    async def _harm(self, fault: Fault) -> AsyncGenerator[None]:
        """Hurt, and heal at the end of the block, also if it ends early."""
        stand = self._stand
        match fault.kind:
            case "kill" | "terminate":
                harm = self._down(fault)
            case "skew":
                harm = self._other_clock(fault)
            case "pause":
                stand.send(fault.target, signal.SIGSTOP)
                harm = _finally(lambda: stand.send(fault.target, signal.SIGCONT))
            case "cut" | "freeze" | "hold" | "slow":
                harm = self._network(fault)
            case "full disk":
                pid = stand.pid(fault.target)
                limit_files(pid, ROOM_BYTES)
                harm = _finally(lambda: limit_files(pid, resource.RLIM_INFINITY))
            case "kill database" | "pause database" | "read-only database":
                harm = self._database(fault)
            case _:
                harm = self._nats(fault)
        async with harm:
            yield

    @asynccontextmanager
    async def _down(self, fault: Fault) -> AsyncGenerator[None]:
        number = signal.SIGKILL if fault.kind == "kill" else signal.SIGTERM
        await self._stand.end(fault.target, number)
        try:
            yield
        finally:
            self._stand.start(fault.target)

    @asynccontextmanager
    async def _other_clock(self, fault: Fault) -> AsyncGenerator[None]:
        """Killed, and started at once with a clock that is wrong by another amount, for good."""
        await self._stand.end(fault.target, signal.SIGKILL)
        self._stand.skew(fault.target, fault.skew)
        self._stand.start(fault.target)
        yield

    @asynccontextmanager
    async def _network(self, fault: Fault) -> AsyncGenerator[None]:
        service = self._stand.services[fault.target]
        proxies = service.to_database if fault.part == "database" else service.to_nats
        for proxy in proxies:
            _disturb(proxy, fault)
        try:
            yield
        finally:
            for proxy in proxies:
                proxy.heal()

    @asynccontextmanager
    async def _database(self, fault: Fault) -> AsyncGenerator[None]:
        database = self._stand.database
        match fault.kind:
            case "kill database":
                database.kill()
            case "pause database":
                database.pause()
            case _:
                await asyncio.to_thread(database.lock, read_only=True)
        try:
            yield
        finally:
            database.resume()
            await database.start()
            if fault.kind == "read-only database":
                await asyncio.to_thread(database.lock, read_only=False)

    @asynccontextmanager
    async def _nats(self, fault: Fault) -> AsyncGenerator[None]:
        nodes = self._stand.nodes
        [node] = [one for one in nodes if one.name == fault.target]
        try:
            match fault.kind:
                case "kill nats":
                    node.kill()
                case "pause nats":
                    node.send(signal.SIGSTOP)
                case "full nats":
                    node.fill_disk()
                case "truncate nats":
                    node.kill()
                    node.truncate_data(self._random)
                case "wipe nats":
                    self._with_all_down(Node.wipe_data)
                case "restore nats":
                    self._with_all_down(Node.copy_data)
                    await _start(nodes)
                case _:
                    await self._delete_streams(node)
            yield
            if fault.kind == "restore nats":
                self._with_all_down(Node.restore_data)
            elif fault.kind == "full nats":
                node.kill()  # the server keeps to its write error until it is started again
        finally:
            node.send(signal.SIGCONT)
            node.free_disk()
            await _start(nodes)

    def _with_all_down(self, spoil: Callable[[Node], None]) -> None:
        for node in self._stand.nodes:
            node.kill()
        for node in self._stand.nodes:
            spoil(node)

    async def _delete_streams(self, node: Node) -> None:
        """Some of them, or all: also those that are below buckets."""
        async with asyncio.timeout(_SERVER_SECONDS_MAX):
            connection = await nats.connect(node.url)  # pyright: ignore[reportUnknownMemberType]  # the library's
            try:
                api = connection.jetstream()  # pyright: ignore[reportUnknownMemberType]  # the library's
                names = sorted([stream.config.name or "" for stream in await api.streams_info()])
                for name in self._random.sample(names, self._random.randint(1, len(names))):
                    await api.delete_stream(name)
            finally:
                await connection.close()


async def heal(stand: Stand) -> None:
    """Undo whatever may still hurt: everything runs, and every network is a good one."""
    for node in stand.nodes:
        node.send(signal.SIGCONT)
        node.free_disk()
    await _start(stand.nodes)
    stand.database.resume()
    await stand.database.start()
    for name, service in stand.services.items():
        stand.send(name, signal.SIGCONT)
        limit_files(stand.pid(name), resource.RLIM_INFINITY)
        for proxy in (*service.to_nats, *service.to_database):
            proxy.heal()
        stand.start(name)


async def _start(nodes: Sequence[Node]) -> None:
    for node in nodes:
        await node.start_again()


def _disturb(proxy: Proxy, fault: Fault) -> None:
    match fault.kind:
        case "cut":
            proxy.cut()
        case "freeze":
            proxy.freeze()
        case "hold":
            proxy.hold()
        case _:
            proxy.slow(SLOW_BYTES_PER_SECOND)


@asynccontextmanager
async def _finally(heal_it: Callable[[], None]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        heal_it()
