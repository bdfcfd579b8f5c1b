"""Runs and the runs of their sub-workflows: who has to be told of the other once more.

What one run tells another is lost with the inbox, or with an orchestrator that dies after its
commit. What was lost shows in the histories of the two; this reads them, and sends nothing.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime

from dalsegno_bus.errors import Unavailable
from dalsegno_bus.ids import RunId, TaskId
from dalsegno_bus.logs import log
from dalsegno_bus.messages import CancelRun, ParentRun
from dalsegno_orchestrator.runs import Runs
from dalsegno_orchestrator.workflow.run import Run, Task

_logger = logging.getLogger("dalsegno.orchestrator")


def waits_for(parent: Run, task_id: str, child: RunId) -> bool:
    """Whether this run does a task of `parent`, as far as `parent` knows."""
    task = parent.tasks.get(TaskId(task_id))
    return task is not None and task.status == "delegated" and task.child == child


def untold(
    asked: Iterable[Run], runs: Runs, *, older_than: datetime | None
) -> Iterator[tuple[Run, Task]]:
    """The tasks whose runs have to be told again: to begin, to end, or to say how they ended.

    Args:
        asked: Whose tasks.
        runs: What is in memory: a run that goes on there needs no start.
        older_than: Only what was told before; None: all.
    """
    for run in asked:
        for task in list(run.delegated.values()):
            if older_than is not None and task.changed_at >= older_than:
                continue
            child = None if task.child is None else runs.held(task.child)
            is_known = child is not None and child.is_open
            if not is_known or run.ending is not None:
                yield run, task


def orphans(runs: Runs, *, older_than: datetime) -> list[CancelRun]:
    """What ends the runs that began before `older_than` and whose parents went on without. Blocks.

    A parent that was taken back cancels them, and so does one that ends; but the request may be
    lost, or overtaken by the start.

    Raises:
        Unavailable: The store cannot be reached.
    """
    found: list[CancelRun] = []
    for run in runs:
        above = run.parent
        if above is None or not above.task_id or run.ending or run.started_at >= older_than:
            continue
        parent = runs.held(above.run_id)
        if parent is not None and waits_for(parent, above.task_id, run.id):
            continue
        if not _is_orphan(runs, run):
            continue
        found.append(
            CancelRun(
                run_id=run.id,
                reason="its parent went on without it",
                requested_by=f"run:{above.run_id}",
                parent=ParentRun(run_id=above.run_id, task_id=above.task_id, attempt=above.attempt),
            )
        )
    return found


def _is_orphan(runs: Runs, run: Run) -> bool:
    """Whether the parent, as it is stored, does not wait for this run."""
    assert run.parent is not None
    try:
        parent = runs.peek(run.parent.run_id)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - one bad history must not stop the rest
        log(_logger, "error", "parent_unreadable", run_id=str(run.id), reason=str(error))
        return False
    return parent is not None and not waits_for(parent, run.parent.task_id, run.id)
