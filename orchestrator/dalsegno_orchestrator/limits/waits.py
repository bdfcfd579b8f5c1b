"""What parked tasks wait for, and who of them is next: limits, agents, and the line before both.

It gathers what has room again, from the permits and from the directory, and names one task at a
time. The core decides whether that task can go; this decides nothing and changes no run.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from dalsegno_bus.ids import RunId, TaskId
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.limits.ledger import LimitsLedger, Newcomers, Served
from dalsegno_orchestrator.limits.line import Line
from dalsegno_orchestrator.storage.permits import PermitChange
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import RunEvent
from dalsegno_orchestrator.workflow.run import Run

LOOKS_UNTIL_ALL: Final = 60
"""Every so many looks everything is read, and the first of every queue is tried once more."""


class Waits:
    """The limits, the line, and what ties them to the agents. One loop uses it: no lock."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._directory = directory
        self._looks = 0
        self.ledger = LimitsLedger(store)
        self.line = Line()
        self.newcomers = Newcomers(self.ledger, self.line.is_waited_for)
        """The limits for every decision but those on tasks that `offer` named."""
        self.is_stale = True
        """What was counted is not what is stored: `read` before anything is decided."""

    # --- what is stored (these two block) -----------------------------------------------------

    def read(self) -> None:
        """Read every limit and permit anew; nothing may be decided and not stored."""
        self.ledger.settings.read()
        self.ledger.read_permits()
        self.is_stale = False

    def look(self) -> None:
        """Read what others may have changed of what somebody waits for. Call it every second."""
        self._looks += 1
        if self._looks % LOOKS_UNTIL_ALL == 0:
            self.read()
            self.line.wake_all()
            return
        self.ledger.settings.read()
        limits = self.line.limits()
        if limits:
            self.ledger.read_permits(limits)

    # --- what was decided ---------------------------------------------------------------------

    def note(self, run: Run, events: Sequence[RunEvent], now: datetime) -> PermitChange | None:
        """Take in what was decided in a run; the value belongs into the same transaction."""
        change = self.ledger.observe(run, events, now)
        self.line.note(run, events)
        return change

    # --- who is next --------------------------------------------------------------------------

    def is_due(self, now: datetime) -> bool:
        """Whether somebody may be able to go though nothing new was heard."""
        if not len(self.line):
            return False
        opening = self.ledger.next_opening()
        return (
            self.line.is_awake or self.ledger.has_news or (opening is not None and opening <= now)
        )

    def next_opening(self) -> datetime | None:
        """When a rate leaves room for somebody in the line; None: nobody waits for that."""
        return self.ledger.next_opening() if len(self.line) else None

    def agents_changed(self, capabilities: Iterable[str] | None = None) -> None:
        """There may be agents for these capabilities (None: for any)."""
        self.line.wake_agents(capabilities)

    def offer(self, now: datetime) -> tuple[RunId, TaskId] | None:
        """The task to ask the core about next; None: nobody could go. `tried` has to follow."""
        if not len(self.line):
            return None
        for limit in self.ledger.settings.changed():
            self.line.reconsider(limit)
        for limit in self.ledger.freed(now):
            self.line.wake(limit)
        freed = self._directory.freed()
        if freed:
            self.line.wake_agents(
                capability
                for capability in self.line.capabilities()
                if any(view.name in freed for view in self._directory.capable(capability))
            )
        return self.line.next()

    def served(self) -> Served:
        """The limits for the decision on the task that was offered."""
        return Served(self.ledger)

    def tried(self, run: Run, task_id: TaskId, served: Served) -> None:
        """Take in what became of the task that was offered."""
        self.line.tried(run.parked.get(task_id), never=served.never)
