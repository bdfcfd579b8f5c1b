"""What to do with an attempt that may be an old one: begin it, leave it, or give it up.

Its replica may have died after its report was stored and before it could acknowledge: then the work
is done, and doing it again would cost the money a second time. So the orchestrator is asked whether
anybody still waits. And an attempt may end whatever process works on it: so from the third delivery
on, each beginning is noted in a bucket, and what was begun too often is given up. How often
something was delivered does not tell: replicas that stop or are full hand messages back.

A server that came back may hold what it held an hour ago, so an attempt that was queued before this
replica's connection began is asked about as well, though it seems to come for the first time. All
others cost nothing here.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, TypeAlias

from pydantic import TypeAdapter

from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.codec import decode, encode
from dalsegno_bus.errors import BusError, Unavailable
from dalsegno_bus.ids import ReplicaId
from dalsegno_bus.logs import log
from dalsegno_bus.messages import AskWanted, TaskCommand, Wanted
from dalsegno_bus.subjects import Subjects

Verdict: TypeAlias = Literal["begin", "unwanted", "poison"]

BEGUN_MAX: Final = 5
"""An attempt that was begun so often, and came again without a report, is poison."""
UNNOTED: Final = 2
"""Deliveries before the first note; each of them counts as begun."""
NOTE_SECONDS: Final = 24 * 3600
ASK_SECONDS_MAX: Final = 2.0
REACH_SECONDS_MAX: Final = 2.0
"""For so long a question that reaches nobody is asked again: orchestrators reconnect, too."""
AGAIN_SECONDS: Final = 0.1

_WANTED: Final = TypeAdapter(Wanted)
_logger = logging.getLogger("dalsegno.agent")


class Returned:
    """Judges attempts that come again.

    Args:
        replica: Who asks.
        now: The time now (UTC).
    """

    def __init__(
        self, bus: Bus, subjects: Subjects, *, replica: ReplicaId, now: Callable[[], datetime]
    ) -> None:
        self._bus = bus
        self._now = now
        self._epoch = bus.epoch
        self._since = now()
        """Since when the servers hold what they hold, as far as is known here."""
        self._is_alone = False
        """Nobody has answered for as long as one waits: the others do not wait as well."""
        self._subjects = subjects
        self._replica = replica
        self._bucket = bus.bucket(subjects.agents_bucket)

    async def judge(self, command: TaskCommand, *, deliveries: int, stored_at: datetime) -> Verdict:
        """What to do with an attempt that was delivered for the `deliveries`th time.

        Without an answer from the servers it is begun: better once more than not at all.
        """
        if deliveries == 1 and not self._is_old(stored_at):
            return "begin"
        if not await self._is_wanted(command):
            log(_logger, "info", "agent.attempt_unwanted", run_id=str(command.run_id),
                task_id=command.task_id, attempt=command.attempt)  # fmt: skip
            return "unwanted"
        return "begin" if await self._may_begin(command, deliveries) else "poison"

    def _is_old(self, stored_at: datetime) -> bool:
        """Whether the servers may have lost, since this was stored, that it was done."""
        if self._bus.epoch != self._epoch:
            self._epoch, self._since, self._is_alone = self._bus.epoch, self._now(), False
        return stored_at < self._since

    async def _is_wanted(self, command: TaskCommand) -> bool:
        question = AskWanted(
            run_id=command.run_id,
            task_id=command.task_id,
            attempt=command.attempt,
            agent=command.agent,
            replica=self._replica,
        )
        message = Outgoing(self._subjects.wanted, encode(question))
        clock = asyncio.get_running_loop().time
        until = clock() + REACH_SECONDS_MAX
        while True:
            try:
                heard = await self._bus.ask(message, timeout_seconds=ASK_SECONDS_MAX)
                self._is_alone = False
                return decode(_WANTED, heard.body).wanted
            except (BusError, Unavailable):
                if self._is_alone or clock() >= until:
                    break
            await asyncio.sleep(AGAIN_SECONDS)
        self._is_alone = True
        return True  # no orchestrator is there to know

    async def _may_begin(self, command: TaskCommand, deliveries: int) -> bool:
        if deliveries <= UNNOTED:
            return True
        name = f"begun.{command.run_id}.{command.task_id}.{command.attempt}"
        try:
            note = await self._bucket.get(name)
            begun = int(note.value) if note is not None and note.value is not None else 0
            if deliveries > BEGUN_MAX and UNNOTED + begun >= BEGUN_MAX:
                return False
            await self._bucket.put(name, b"%d" % (begun + 1), ttl_seconds=NOTE_SECONDS)
        except (BusError, Unavailable) as error:
            log(_logger, "warning", "agent.beginning_not_noted", reason=str(error))
        return True
