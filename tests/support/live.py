"""An example on real processes: what the people around one run do, and what they wait for."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from pydantic import TypeAdapter

from dalsegno_bus.bus import Bus
from dalsegno_bus.client import Client
from dalsegno_bus.codec import decode
from dalsegno_bus.errors import RunRejected
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Json, Presence
from dalsegno_bus.subjects import Subjects
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import Event
from support.histories import history_of, kind_of

WAIT_SECONDS = 55.0
"""For one example; all run at the same time, on a machine that does much else."""
LOOK_SECONDS = 0.1
_PRESENCE: TypeAdapter[Presence] = TypeAdapter(Presence)


class Live:
    """One run of an example, seen and steered from outside."""

    def __init__(
        self, workflow: str, client: Client, store: Store, bus: Bus, subjects: Subjects
    ) -> None:
        self.client = client
        self._workflow = workflow
        self._store = store
        self._bus = bus
        self._subjects = subjects
        self._run_id: RunId | None = None

    @property
    def run_id(self) -> RunId:
        assert self._run_id is not None, "it was not started"
        return self._run_id

    async def start(self, input: Json = None) -> None:  # noqa: A002 - the field's own name
        accepted = await self.client.start(self._workflow, input)
        self._run_id = accepted.run_id

    async def signal(self, name: str, payload: Json = None) -> None:
        await self.client.signal(self.run_id, name, payload)

    async def is_refused(self, asked: Awaitable[None]) -> None:
        """What was asked for is turned down, and the run goes on as if it had not been."""
        with pytest.raises(RunRejected):
            await asked

    async def events(self) -> list[Event]:
        """Its history as the store has it."""
        recorded = await asyncio.to_thread(self._store.read, self.run_id)
        return [one.event for one in recorded]

    async def until(self, kind: str, task: str | None = None, *, count: int = 1) -> None:
        """Wait until the history holds such a fact, of this task if it is given."""

        def is_there(events: list[Event]) -> bool:
            found = [event for event in events if kind_of(event) == kind]
            return sum(task in {None, getattr(event, "task_id", None)} for event in found) >= count

        await self._until(is_there)

    async def until_it_ends_with(self, kind: str) -> None:
        """Wait until this is the last fact of its history."""
        await self._until(lambda events: bool(events) and kind_of(events[-1]) == kind)

    async def until_at_work(self, task: str) -> None:
        """Wait until a replica says that it works on the task's first attempt."""
        key = f"{self.run_id}/{task}/1"
        async with self._bus.bucket(self._subjects.agents_bucket).watch() as entries:
            async for entry in entries:
                if entry is None or entry.value is None or not entry.key.startswith("live."):
                    continue
                if key in decode(_PRESENCE, entry.value).working:
                    return

    async def _until(self, holds: Callable[[list[Event]], bool]) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not holds(await self.events()):  # noqa: ASYNC110 - it is another process that writes
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            lines = "\n".join(history_of(await self.events()))
            raise AssertionError(f"it never came to that:\n{lines}") from None
