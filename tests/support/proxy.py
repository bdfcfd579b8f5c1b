"""A network that misbehaves on demand: a TCP proxy on the loopback address, before one server.

Whoever is to feel it connects to `url` in place of the server's own. The server's port may be asked
for anew with each connection, so that the server may come later or move.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_CHUNK_BYTES: Final = 65_536
_SLICES_A_SECOND: Final = 50


class Proxy:
    """Carries bytes both ways between those who connect here and the server at `port_of()`.

    What is said (`cut`, `freeze` …) holds until `heal`. Connections that were cut are gone; those
    that were frozen stay open and never carry a byte again, as when a router forgets them.

    Args:
        port_of: The server's port on the loopback address, asked at each connection.
    """

    def __init__(self, port_of: Callable[[], int]) -> None:
        self.connections = 0
        """How many were made so far."""
        self._port_of = port_of
        self._server: asyncio.Server | None = None
        self._port = 0
        self._links: set[_Link] = set()
        self._cut = False
        self._frozen = False
        self._rate: int | None = None
        self._flows = asyncio.Event()
        self._flows.set()

    @property
    def port(self) -> int:
        """Where to connect to on the loopback address."""
        return self._port

    @property
    def url(self) -> str:
        """What a client of NATS connects to."""
        return f"nats://127.0.0.1:{self._port}"

    def cut(self) -> None:
        """End every connection at once, and take no other."""
        self._cut = True
        self._end_all()

    def freeze(self) -> None:
        """Let every byte vanish, of these connections and of new ones; all stay open."""
        self._frozen = True
        for link in self._links:
            link.dead = True

    def hold(self) -> None:
        """Carry nothing, and lose nothing: what is sent meanwhile arrives after `heal`."""
        self._flows.clear()

    def slow(self, bytes_per_second: int | None) -> None:
        """Carry so much each way on each connection; None: as fast as it goes."""
        self._rate = bytes_per_second

    def heal(self) -> None:
        """Be a good network again."""
        self._cut = self._frozen = False
        self._rate = None
        self._flows.set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        self._flows.set()
        for _turn in range(3):  # whoever was just accepted begins, and ends
            await asyncio.sleep(0)
        while self._links:  # noqa: ASYNC110  # each takes itself away as it ends
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(writer, dead=self._frozen)
        self._links.add(link)
        try:
            if not self._cut:
                await self._carry(link, reader, writer)
        finally:
            link.end()
            self._links.discard(link)

    async def _carry(
        self, link: "_Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            answers, onward = await asyncio.open_connection("127.0.0.1", self._port_of())
        except OSError:
            return  # no server: the connection ends, as if it had been refused
        link.writers.append(onward)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump(link, reader, onward))
            group.create_task(self._pump(link, answers, writer))

    async def _pump(
        self, link: "_Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while True:
                await self._flows.wait()  # nobody reads meanwhile, so that buffers fill up
                rate = self._rate
                size = _CHUNK_BYTES if rate is None else max(1, rate // _SLICES_A_SECOND)
                chunk = await reader.read(size)
                if not chunk:
                    break
                await self._flows.wait()
                if link.dead:
                    continue
                if rate is not None:
                    await asyncio.sleep(len(chunk) / rate)
                writer.write(chunk)
                await writer.drain()
        link.end()

    def _end_all(self) -> None:
        for link in tuple(self._links):
            link.end()


class _Link:
    """One connection through the proxy: both its ends."""

    def __init__(self, writer: asyncio.StreamWriter, *, dead: bool) -> None:
        self.writers = [writer]
        self.dead = dead
        """It carries nothing any more."""

    def end(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
