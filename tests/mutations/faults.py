"""Faults that a hand might make in the code, each a small patch, and what each would break.

A patch is text that stands exactly once in its file and what it is replaced with; a test sees to
it that every patch still fits the code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

ROOT: Final = Path(__file__).parents[2]
CORE: Final = "orchestrator/dalsegno_orchestrator/workflow"
SHELL: Final = "orchestrator/dalsegno_orchestrator"
AGENTS: Final = "agents/dalsegno_agents"

Room = Literal["core", "pipeline", "leases", "runtime"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One patch.

    Args:
        name: Short, for tables.
        room: Where it is made.
        meaning: What the code would do wrong with it.
        file: From the root of the repository.
        before: What stands there now, exactly once.
        after: What it becomes.
    """

    name: str
    room: Room
    meaning: str
    file: str
    before: str
    after: str

    def patched(self) -> str:
        """The whole file with the fault in it.

        Raises:
            ValueError: `before` does not stand there exactly once.
        """
        text = (ROOT / self.file).read_text()
        if text.count(self.before) != 1:
            raise ValueError(
                f"fault {self.name!r}: its text stands {text.count(self.before)} times in "
                f"{self.file}, not once; write the patch anew"
            )
        return text.replace(self.before, self.after)


FAULTS: Final = (
    # --- the core ---------------------------------------------------------------------------------
    Fault(
        "forged-report",
        "core",
        "a report counts whoever sends it",
        f"{CORE}/turn.py",
        "return task if opened is not None and opened.agent == report.agent else None",
        "return task if opened is not None else None",
    ),
    Fault(
        "late-report",
        "core",
        "a report on an old attempt ends the new one",
        f"{CORE}/turn.py",
        "opened = task.opened.get(report.attempt)",
        "opened = next(iter(task.opened.values()), None)",
    ),
    Fault(
        "attempt-twice",
        "core",
        "an attempt's number comes twice",
        f"{CORE}/rules/attempts.py",
        "            attempt=task.attempt + 1,\n            agent=choice.agent,\n"
        '            capability=task.capability or "",\n            candidates=choice.candidates,\n'
        "            reason=choice.reason,",
        "            attempt=max(1, task.attempt),\n            agent=choice.agent,\n"
        '            capability=task.capability or "",\n            candidates=choice.candidates,\n'
        "            reason=choice.reason,",
    ),
    Fault(
        "one-attempt-too-many",
        "core",
        "a task is tried once more than its policy allows",
        f"{CORE}/rules/attempts.py",
        "if task.failures + 1 < policy_for(retry, error.code).max_attempts:",
        "if task.failures < policy_for(retry, error.code).max_attempts:",
    ),
    Fault(
        "undone-in-order",
        "core",
        "what was done first is undone first",
        f"{CORE}/rules/ending.py",
        "undone = tuple(reversed(run.completed))",
        "undone = tuple(run.completed)",
    ),
    Fault(
        "no-wake-up",
        "core",
        "a run that waits for a time is never looked at again",
        f"{CORE}/run.py",
        "times = [self.looks[0][0]] if self.looks else []",
        "times: list[datetime] = []",
    ),
    Fault(
        "time-while-paused",
        "core",
        "a paused run goes on when its time comes",
        f"{CORE}/run.py",
        'if self.status == "paused" or not self.is_open:',
        "if not self.is_open:",
    ),
    # --- the pipeline -----------------------------------------------------------------------------
    Fault(
        "acknowledged-first",
        "pipeline",
        "a message is acknowledged before its events are stored",
        f"{SHELL}/pipeline.py",
        "        heard = [hear(delivery, self._subjects) for delivery in deliveries]\n",
        "        heard = [hear(delivery, self._subjects) for delivery in deliveries]\n"
        "        for delivery in deliveries:\n            await delivery.ack()\n",
    ),
    Fault(
        "commands-forgotten",
        "pipeline",
        "what a commit implies is not sent",
        f"{SHELL}/batch.py",
        "                self.assigned.append((run, task, event.attempt))",
        "                pass",
    ),
    Fault(
        "stale-state-kept",
        "pipeline",
        "after a conflict the runs in memory are not read anew",
        f"{SHELL}/pipeline.py",
        "            self.runs.drop(run_id)\n            self.timers.disarm(run_id)\n"
        "        return replace(work, undecided=work.undecided | forgotten)",
        "            self.timers.disarm(run_id)\n"
        "        return replace(work, undecided=work.undecided | forgotten)",
    ),
    Fault(
        "ended-not-closed",
        "pipeline",
        "the end of a run is not told to its parent",
        f"{SHELL}/batch.py",
        "        return [run for run in self.touched.values() if not run.is_open]",
        "        return []",
    ),
    # --- leases -----------------------------------------------------------------------------------
    Fault(
        "lease-without-end",
        "leases",
        "a lease counts though it was not renewed in time",
        f"{SHELL}/leases/leases.py",
        "        return partition in self._owned and self.is_alive",
        "        return partition in self._owned",
    ),
    Fault(
        "claimed-by-force",
        "leases",
        "of two who claim a partition both get it",
        f"{SHELL}/leases/leases.py",
        "revision = await self._bucket.update(key, value, known)",
        "revision = await self._bucket.put(key, value)",
    ),
    Fault(
        "never-given-up",
        "leases",
        "whoever has more than its share keeps it from the others",
        f"{SHELL}/service.py",
        "            await self.leases.leave(surplus)",
        "            pass",
    ),
    Fault(
        "gained-and-not-loaded",
        "leases",
        "open runs of a partition that was taken over stand still",
        f"{SHELL}/recovery.py",
        "        self._to_load.extend(RunId(entry.run_id) for entry in opened)",
        "        pass",
    ),
    Fault(
        "held-by-the-dead",
        "leases",
        "what a dead owner had in hand does not come to the next one at once",
        f"{SHELL}/service.py",
        "                await self._bus.reset(inbox_consumer(self._subjects, number))",
        "                pass",
    ),
    # --- the agents' runtime ----------------------------------------------------------------------
    Fault(
        "acknowledged-before-report",
        "runtime",
        "an attempt is acknowledged when it comes, not when its report is stored",
        f"{AGENTS}/hand.py",
        "        held = self._held[key] = InHand(key, {delivery.sequence: delivery})\n"
        "        return held",
        "        held = self._held[key] = InHand(key, {})\n"
        "        asyncio.get_running_loop().call_soon(\n"
        "            partial(asyncio.ensure_future, delivery.ack())\n        )\n"
        "        return held",
    ),
    Fault(
        "answers-forgotten",
        "runtime",
        "a replica works again on what it has answered",
        f"{AGENTS}/hand.py",
        "            self._answers.remember(held.key, answer)",
        "            pass",
    ),
    Fault(
        "work-not-kept",
        "runtime",
        "long work is given to another replica while it goes on",
        f"{AGENTS}/hand.py",
        "                    await delivery.extend()",
        "                    pass",
    ),
    Fault(
        "unwanted-work",
        "runtime",
        "what comes back is worked on without asking whether anybody waits",
        f"{AGENTS}/returned.py",
        "        if not await self._is_wanted(command):",
        "        if False:",
    ),
)
"""All of them, by room."""
