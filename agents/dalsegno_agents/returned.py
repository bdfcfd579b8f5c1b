"""What to do with an attempt that was delivered before: begin it, leave it, or give it up.

Its replica may have died after its report was stored and before it could acknowledge: then the work
is done, and doing it again would cost the money a second time. So the orchestrator is asked whether
anybody still waits. And an attempt may end whatever process works on it: so from the third delivery
on, each beginning is noted in a bucket, and what was begun too often is given up. How often
something was delivered does not tell: replicas that stop or are full hand messages back. Attempts
that come for the first time cost nothing here.
"""

import logging
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

_WANTED: Final = TypeAdapter(Wanted)
_logger = logging.getLogger("dalsegno.agent")


class Returned:
    """Judges attempts that come again.

    Args:
        replica: Who asks.
    """

    def __init__(self, bus: Bus, subjects: Subjects, *, replica: ReplicaId) -> None:
        self._bus = bus
        self._subjects = subjects
        self._replica = replica
        self._bucket = bus.bucket(subjects.agents_bucket)

    async def judge(self, command: TaskCommand, *, deliveries: int) -> Verdict:
        """What to do with an attempt that was delivered for the `deliveries`th time.

        Without an answer from the servers it is begun: better once more than not at all.
        """
        if deliveries == 1:
            return "begin"
        if not await self._is_wanted(command):
            log(_logger, "info", "agent.attempt_unwanted", run_id=str(command.run_id),
                task_id=command.task_id, attempt=command.attempt)  # fmt: skip
            return "unwanted"
        return "begin" if await self._may_begin(command, deliveries) else "poison"

    async def _is_wanted(self, command: TaskCommand) -> bool:
        question = AskWanted(
            run_id=command.run_id,
            task_id=command.task_id,
            attempt=command.attempt,
            agent=command.agent,
            replica=self._replica,
        )
        try:
            heard = await self._bus.ask(
                Outgoing(self._subjects.wanted, encode(question)), timeout_seconds=ASK_SECONDS_MAX
            )
            return decode(_WANTED, heard.body).wanted
        except (BusError, Unavailable):
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
