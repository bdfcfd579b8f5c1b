"""One attempt at work: what is known of it, and whether anybody still waits for it."""

import asyncio
from datetime import datetime
from typing import Any, TypedDict

from dalsegno_agents.context import TaskContext
from dalsegno_agents.heartbeats import Beat
from dalsegno_agents.portal import Calls
from dalsegno_agents.reports import Identity
from dalsegno_bus.messages import TaskCommand, Usage


class Cost(TypedDict):
    """How reports on an attempt that has ended tell what it took."""

    usage: Usage | None
    queue_seconds: float
    work_seconds: float


class Attempt:
    """What is known of one attempt while it is worked on.

    Args:
        command: What to do.
        identity: How reports on it begin.
        stored_at: When the command was accepted by the stream (UTC).
        calls: What its threads wait for.
        is_recorded: Whether it is part of a run; an answer to a live question is not.
    """

    def __init__(
        self,
        command: TaskCommand,
        identity: Identity,
        *,
        stored_at: datetime,
        calls: Calls,
        is_recorded: bool = True,
    ) -> None:
        self.command = command
        self.identity = identity
        self.stored_at = stored_at
        self.calls = calls
        self.is_recorded = is_recorded
        self.context: TaskContext[Any] | None = None
        self.beat: Beat | None = None
        self.limit: asyncio.Timeout | None = None
        self.queue_seconds = 0.0
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self.is_cancelled = False
        """Nobody needs it any more, but what comes within the grace is reported."""
        self.cancel_reason = ""
        self.is_let_go = False
        """Its grace is over: nothing that it still does is heard."""
        self.may_interrupt = True
        """Whether a cancellation may reach it; not in a thread, and not when it has its output."""

    def cancel(self, reason: str) -> None:
        """Tell the handler that nobody waits for it any more; it is interrupted elsewhere."""
        self.is_cancelled = True
        self.cancel_reason = reason
        self.calls.end()

    @property
    def seconds_over(self) -> float | None:
        """The time that it had and did not keep; None: it did."""
        timed_out = self.limit is not None and self.limit.expired()
        return self.command.timeout_seconds if timed_out else None

    @property
    def work_seconds(self) -> float:
        """How long the handler has worked, or did."""
        if self.started_at is None:
            return 0.0
        ended_at = self.ended_at
        if ended_at is None:
            ended_at = asyncio.get_running_loop().time()
        return ended_at - self.started_at

    @property
    def cost(self) -> Cost:
        """What it has cost so far; a usage of None: its handler said nothing."""
        spent = list(self.context.spent) if self.context is not None else []
        usage = Usage(usd=sum(use.usd for use in spent), tokens=sum(use.tokens for use in spent))
        return Cost(
            usage=usage if spent else None,
            queue_seconds=self.queue_seconds,
            work_seconds=self.work_seconds,
        )

    @property
    def log_fields(self) -> dict[str, str | int]:
        """What tells its log lines from those of others."""
        return {
            "run_id": str(self.command.run_id),
            "task_id": self.command.task_id,
            "attempt": self.command.attempt,
        }
