"""Recovery: runs are taken over and let go with their partition, and what was lost is made good.

Works on the runs of a pipeline between two of its turns, never during one.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.logs import log
from dalsegno_bus.subjects import Subjects
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.directory.recall import recall
from dalsegno_orchestrator.kin import orphans
from dalsegno_orchestrator.outbox import Outbox
from dalsegno_orchestrator.pipeline import Pipeline
from dalsegno_orchestrator.store import Store

_logger = logging.getLogger("dalsegno.orchestrator")

CHUNK: Final = 500
"""So many runs are loaded before the pipeline has its next turn."""


class Recovery:
    """What the pipeline holds, by partition."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: Store,
        outbox: Outbox,
        directory: Directory,
        subjects: Subjects,
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._outbox = outbox
        self._directory = directory
        self._subjects = subjects
        self._to_load: deque[RunId] = deque()
        self._unsettled: set[int] = set()
        self.partitions: dict[int, int] = {}
        """What is worked on, with the epoch of each."""

    @property
    def is_loading(self) -> bool:
        """Whether open runs are not in memory yet; a message about one brings it in at once."""
        return bool(self._to_load)

    async def recall(self) -> None:
        """Learn from the newest of the history how agents did. Waits while the store is away."""
        await asyncio.to_thread(recall, self._store, self._directory)

    async def gain(self, partitions: Mapping[int, int]) -> None:
        """Begin to work on these: their open runs are found in the index, not by a search.

        What is under way is sent again by `settle`, after what waits in the inbox: reports that
        came while nobody was here are not asked for a second time.

        Raises:
            Unavailable: The store cannot be reached; nothing was gained.
        """
        opened = await asyncio.to_thread(self._store.open_runs, sorted(partitions))
        self._to_load.extend(RunId(entry.run_id) for entry in opened)
        self.partitions |= partitions
        self._unsettled |= partitions.keys()
        log(_logger, "info", "partitions_gained", partitions=len(partitions), runs=len(opened))

    def lose(self, partitions: Collection[int]) -> None:
        """Forget all of these; what is stored of it is somebody else's."""
        of, pipeline = self._subjects.partition, self._pipeline
        for number in partitions:
            self.partitions.pop(number, None)
            self._unsettled.discard(number)
        self._to_load = deque(one for one in self._to_load if of(one) in self.partitions)
        for run in pipeline.runs:
            if of(run.id) not in self.partitions:
                pipeline.runs.drop(run.id)
                pipeline.timers.disarm(run.id)
        pipeline.schedules.keep_only(lambda stream: of(stream) in self.partitions)
        log(_logger, "info", "partitions_lost", partitions=len(partitions))

    async def load_some(self) -> None:
        """Bring some more of what was gained into memory.

        Raises:
            Unavailable: The store cannot be reached; nothing is lost by that.
        """
        chunk = [self._to_load[place] for place in range(min(CHUNK, len(self._to_load)))]
        await self._pipeline.load(self._pipeline.unheld(chunk))
        for _ in chunk:
            self._to_load.popleft()

    async def settle(self) -> None:
        """Send again what is under way in the partitions that were gained."""
        gained, self._unsettled = self._unsettled, set()
        of = self._subjects.partition
        await self._pipeline.send_again(run for run in self._pipeline.runs if of(run.id) in gained)
        await self._pipeline.start_ticks()

    async def sweep(self, *, older_than: datetime) -> None:
        """Make good what was lost quietly: look what is open, and send old attempts again."""
        pipeline = self._pipeline
        try:
            await self._catch_up()
        except Unavailable as error:
            log(_logger, "warning", "sweep_failed", reason=str(error))
        await pipeline.send_again(pipeline.runs, older_than=older_than)
        await pipeline.start_ticks(older_than=older_than)
        try:
            lost = await asyncio.to_thread(orphans, pipeline.runs, older_than=older_than)
        except Unavailable as error:
            log(_logger, "warning", "sweep_failed", reason=str(error))
        else:
            await self._outbox.tell_runs(lost)

    async def _catch_up(self) -> None:
        """Take over what another orchestrator has done in our partitions, or left behind."""
        pipeline = self._pipeline
        opened = await asyncio.to_thread(self._store.open_runs, sorted(self.partitions))
        versions = {RunId(entry.run_id): entry.version for entry in opened}
        for run in pipeline.runs:
            if run.version < versions.get(run.id, run.version + 1):
                pipeline.runs.drop(run.id)
                pipeline.timers.disarm(run.id)
        await pipeline.read_on(pipeline.schedules.behind(versions))
        unheld = pipeline.unheld(versions)
        if unheld:
            await pipeline.load(unheld)
            taken = [run for run_id in unheld if (run := pipeline.runs.held(run_id)) is not None]
            await pipeline.send_again(taken)
            log(_logger, "info", "runs_taken_over", runs=len(taken))
