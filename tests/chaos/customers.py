"""`python -m chaos.customers`: starts runs all the while, and keeps lists of them on disk.

What is asked for is written down before it is sent, and what is accepted when that is heard. So a
process that is killed goes on, when it is started again, where it was: with the same ids.
SIGTERM: ask for nothing new, see everything that was asked for accepted, end with 0.
"""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from chaos.ledger import FOLDER_VARIABLE, accepted_in, asked_in, signalled_in
from chaos.plays import PLAYS, SIGNAL, SIGNAL_PAYLOAD
from dalsegno_bus.client import Client
from dalsegno_bus.errors import DalsegnoError, RunRejected
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.nats import connect
from dalsegno_bus.settings import BusSettings, read_settings

OPEN_MAX: Final = 200
"""Runs whose acceptance is waited for at a time; no more are asked for meanwhile."""
ANSWER_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.3
COPIES: Final = 0.1
"""Of the accepted runs, this part is asked for once more."""


class Customers:
    """Everybody who wants something of the system, in one process."""

    def __init__(self, client: Client, folder: Path, *, random: Random, rate: float) -> None:
        self._client = client
        self._random = random
        self._seconds = 1 / rate
        self._asked = asked_in(folder)
        self._accepted = accepted_in(folder)
        self._signalled = signalled_in(folder)
        self._room = asyncio.Semaphore(OPEN_MAX)
        self.enough = asyncio.Event()

    async def run(self) -> None:
        """Make good what the process before left open, then ask for more until it is enough."""
        async with asyncio.TaskGroup() as group:
            accepted = {entry["run"] for entry in self._accepted.read()}
            signalled = {entry["run"] for entry in self._signalled.read()}
            for entry in list(self._asked.read()):
                await self._room.acquire()
                run_id, play = RunId(UUID(entry["run"])), PLAYS[entry["workflow"]]
                if str(run_id) not in accepted:
                    group.create_task(self._see_through(run_id, play.name, entry["input"]))
                elif play.waits_for_signal and str(run_id) not in signalled:
                    group.create_task(self._signal(run_id, release=True))
                else:
                    self._room.release()
            await self._register()
            while not self.enough.is_set():
                await self._room.acquire()
                self._ask(group)
                try:
                    async with asyncio.timeout(self._seconds):
                        await self.enough.wait()
                except TimeoutError:
                    continue

    async def _register(self) -> None:
        for play in PLAYS.values():
            while True:
                try:
                    await self._client.register(dict(play.document), timeout_seconds=ANSWER_SECONDS)
                except RunRejected:
                    raise
                except DalsegnoError:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    break

    def _ask(self, group: asyncio.TaskGroup) -> None:
        play = self._random.choice(list(PLAYS.values()))
        run_id, value = new_run_id(), play.draw(self._random)
        self._asked.write({"run": str(run_id), "workflow": play.name, "input": value})
        group.create_task(self._see_through(run_id, play.name, value))

    async def _see_through(self, run_id: RunId, workflow: str, value: Any) -> None:
        try:
            await self._start(run_id, workflow, value)
            self._accepted.write({"run": str(run_id)})
            if self._random.random() < COPIES:
                await self._start(run_id, workflow, value)
            if PLAYS[workflow].waits_for_signal:
                await self._signal(run_id, release=False)
        finally:
            self._room.release()

    async def _start(self, run_id: RunId, workflow: str, value: Any) -> None:
        while True:
            try:
                await self._client.start(
                    workflow, value, run_id=run_id, timeout_seconds=ANSWER_SECONDS
                )
            except RunRejected as error:
                sys.stdout.write(f"{run_id} was refused: {error}\n")
                sys.stdout.flush()
                await asyncio.sleep(PAUSE_SECONDS)
            except DalsegnoError:
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def _signal(self, run_id: RunId, *, release: bool) -> None:
        try:
            while True:
                try:
                    await self._client.signal(
                        run_id, SIGNAL, SIGNAL_PAYLOAD, timeout_seconds=ANSWER_SECONDS
                    )
                except RunRejected as error:  # one that came before this one was enough
                    sys.stdout.write(f"signal to {run_id} was refused: {error}\n")
                    sys.stdout.flush()
                    break
                except DalsegnoError:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    break
            self._signalled.write({"run": str(run_id)})
        finally:
            if release:
                self._room.release()


async def _main(seed: int, rate: float) -> None:
    settings = read_settings(BusSettings)
    while True:
        try:
            bus = await connect(settings.nats_url, name="customers")
        except DalsegnoError:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            break
    client = Client(bus, settings.subjects, source="customers")
    folder = Path(os.environ[FOLDER_VARIABLE])
    customers = Customers(client, folder, random=Random(seed), rate=rate)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, customers.enough.set)
    try:
        await customers.run()
    finally:
        await bus.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.customers")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="runs for each second")
    options = parser.parse_args()
    asyncio.run(_main(options.seed, options.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
