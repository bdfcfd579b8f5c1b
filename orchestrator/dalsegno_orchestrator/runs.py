"""The runs in memory: loaded from the history when first needed, changed by one loop only."""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

from dalsegno_bus.errors import StoreError, Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.logs import log
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.limits.waits import Waits
from dalsegno_orchestrator.registry import Registry
from dalsegno_orchestrator.schedules import Schedules
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import RunEvent, RunStarted, ScheduleSet
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.run import Run

_logger = logging.getLogger("dalsegno.orchestrator")

ENDED_MAX: Final = 10_000
"""So many ended runs are remembered as such."""


class Runs:
    """Open runs by id, and whether an unknown one is worth a look into the store."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        directory: Directory,
        waits: Waits,
        schedules: Schedules,
    ) -> None:
        self._store = store
        self._registry = registry
        self._directory = directory
        self._waits = waits
        self.schedules = schedules
        """They take the histories that are theirs."""
        self._held: dict[RunId, Run] = {}
        self.broken: dict[RunId, str] = {}
        """Runs whose history cannot be read, and why."""
        self._ended: OrderedDict[RunId, int] = OrderedDict()
        """With how many events they had then."""

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    def held(self, run_id: RunId) -> Run | None:
        """The run, if it is in memory."""
        return self._held.get(run_id)

    def hold(self, run: Run) -> None:
        """Keep a run that began, or goes on; `Directory.observe` has counted its attempts."""
        self._held[run.id] = run
        self._ended.pop(run.id, None)

    def load(self, run_ids: Iterable[RunId]) -> list[Run]:
        """Read runs from the history that are not in memory. Blocks.

        Ids without a history are passed over; a history that cannot be read is put down as broken.
        """
        loaded: list[Run] = []
        for run_id in run_ids:
            if run_id in self._held:
                continue
            try:
                run = self._read(run_id)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one bad history must not stop the rest
                self.broken[run_id] = str(error) or repr(error)
                log(_logger, "error", "run_unreadable", run_id=str(run_id), reason=str(error))
                continue
            self.broken.pop(run_id, None)
            if run is not None:
                loaded.append(run)
        return loaded

    def peek(self, run_id: RunId) -> Run | None:
        """The run as it is stored, without keeping it; None: there is none. Blocks."""
        history = self._store.read(run_id)
        return self._replayed(run_id, history) if history else None

    def admit(self, runs: Iterable[Run]) -> None:
        """Keep runs that were loaded, and count what they have under way."""
        for run in runs:
            self.hold(run)
            self._directory.admit(run)
            self._waits.line.admit(run)

    def end(self, run: Run) -> None:
        """Forget a run that has ended, all but that: late reports need not load it."""
        self.drop(run.id)
        self._ended[run.id] = run.version
        if len(self._ended) > ENDED_MAX:
            self._ended.popitem(last=False)

    def has_ended(self, run_id: RunId) -> bool:
        """Whether the run is known to have ended, lately."""
        return run_id in self._ended

    def ended_at(self, run_id: RunId) -> int | None:
        """How many events it had when it ended, lately; None: it is not known to have."""
        return self._ended.get(run_id)

    def drop(self, run_id: RunId) -> None:
        """Forget a run: what is in memory is not what is stored."""
        run = self._held.pop(run_id, None)
        self._waits.line.drop(run_id)
        if run is not None:
            self._directory.dismiss(run)

    def recount(self) -> None:
        """Count open attempts anew, after a decision broke off in its middle."""
        self._directory.recount(self._held.values())

    def _read(self, run_id: RunId) -> Run | None:
        history = self._store.read(run_id)
        if not history:
            return None
        started = history[0].event
        if isinstance(started, ScheduleSet):
            self.schedules.admit(history)
            return None
        return self._replayed(run_id, history)

    def _replayed(self, run_id: RunId, history: Sequence[Recorded]) -> Run:
        started = history[0].event
        if not isinstance(started, RunStarted):
            raise StoreError(f"{run_id} is the history of a workflow, not of a run")
        if not self._registry.knows(started.workflow, started.workflow_version):
            self._registry.refresh(started.workflow)
        plan = self._registry.plan(started.workflow, started.workflow_version)
        if not isinstance(plan, Plan):
            raise StoreError(f"run {run_id} cannot be loaded: {plan}")
        run = replay(run_id, plan, ((cast("RunEvent", r.event), r.at) for r in history))
        run.digest = history[-1].digest
        return run
