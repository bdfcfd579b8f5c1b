"""One run of chaos from start to verdict: work begins, the nemesis rages, all is healed, counted.

The end is waited for by progress: as long as events are recorded, nobody is given up.
"""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from chaos.checker import check
from chaos.faults import Nemesis, heal
from chaos.ledger import accepted_in
from chaos.nemesis import clocks, schedule
from chaos.stand import CUSTOMERS, PARTITIONS, Shape, Stand, stand_of
from chaos.table import summary
from dalsegno_orchestrator.store import Store

STILL_SECONDS_MAX: Final = 90.0
"""With runs open and no event for so long, those runs are stuck: every sweep, lease and silent
replica has had its time several times over, and a circuit that opened twice (30 s, then 60 s)."""
READY_SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 0.25


async def perform(
    shape: Shape, folder: Path, *, seconds: float, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Have chaos for so long; return what the checker found, as `table.summary` has it."""
    async with (
        stand_of(shape, folder, clocks=clocks(shape)) as stand,
        asyncio.TaskGroup() as group,
    ):
        supervisor = group.create_task(stand.supervise())
        tell(f"{len(stand.services)} services, logs in {folder / 'logs'}")
        await _until_work_begins(stand)
        nemesis = Nemesis(stand, seed=shape.seed, tell=tell)
        await nemesis.rage(schedule(shape.seed, seconds, shape))
        tell("all is healed: waiting until nothing is open")
        await heal(stand)
        await _quiet(stand, tell)
        supervisor.cancel()
        await stand.stop()
        store = stand.open_store()
        verdict = await asyncio.to_thread(check, store, folder, ended=stand.ended)
        store.close()
        return summary(verdict, done=nemesis.done, failed=nemesis.failed, killed=stand.killed)


async def _until_work_begins(stand: Stand) -> None:
    async with asyncio.timeout(READY_SECONDS_MAX):
        while not any(accepted_in(stand.folder).read()):  # noqa: ASYNC110 - written elsewhere
            await asyncio.sleep(_LOOK_SECONDS)


async def _quiet(stand: Stand, tell: Callable[[str], None]) -> None:
    """Return when customers have nothing left to ask and no run is open, or nothing moves."""
    store = stand.open_store()
    stand.services[CUSTOMERS].is_wanted = False
    stand.send(CUSTOMERS, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    newest, moved_at, told_at = -1, loop.time(), loop.time()
    while loop.time() - moved_at < STILL_SECONDS_MAX:
        position, opened = await asyncio.to_thread(_look, store)
        if position != newest:
            newest, moved_at = position, loop.time()
        is_asking = stand.pid(CUSTOMERS) is not None
        if opened == 0 and not is_asking:
            break
        if loop.time() - told_at > 10:
            told_at = loop.time()
            tell(f"        {opened} runs open, {'still' if is_asking else 'nobody'} asking")
        await asyncio.sleep(_LOOK_SECONDS)
    store.close()


def _look(store: Store) -> tuple[int, int]:
    return store.newest_position(), len(store.open_runs(range(PARTITIONS)))
