"""The demo: books are made, a stack is started, the report is run, everything is stopped again.

Everything of one demo lies in one folder; only the report goes where reports go. What it shows of
the run is what any user sees of any run: nothing here looks into an agent or into the orchestrator.
"""

import asyncio
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dalsegno.demo.company import DemoBooks, make_books
from dalsegno.files import write_files
from dalsegno.layout import FINANCE_AGENTS, REPORTS, in_folder
from dalsegno.output import typed
from dalsegno.scene import Scene
from dalsegno.session import Session
from dalsegno.stack import Stack, nobody_ends, running
from dalsegno.watch import follow
from dalsegno.workflow_files import example
from dalsegno_agents.gallery.finance.model import Report
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.clock import utc_now
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import RunChanged

WORKFLOW: Final = "financial-report"
SIGNAL: Final = "approval"
_WHY: Final = "There are critical findings, so the report needs an approval"
_ANSWER: Final = {"by": "the demo", "comment": "approved by the demo itself, so that it can go on"}
_EXAMPLE: Final = '{"by": "me", "comment": "seen and accepted"}'


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What came of a demo."""

    run: RunChanged
    report: Report | None
    """None: the run did not complete."""
    files: list[Path]
    seconds: float
    """From the start of the first process to the end of the run."""
    rows: int
    """In the books' database."""
    currency: str


async def run_demo(
    folder: Path, *, seed: int, manual: bool, tell: Callable[[str], None]
) -> Finished:
    """Make the report of the demo company, with everything in `folder`.

    Args:
        folder: Where the demo's files go; made if need be.
        seed: Of the books: the same seed, the same books.
        manual: Leave the approval to the user.
        tell: Hears what is being done.

    Raises:
        DalsegnoError: Something could not be started, or ended before its time.
    """
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        making = group.create_task(asyncio.to_thread(make_books, folder / "books", seed=seed))
        async with running(in_folder(folder, FINANCE_AGENTS), tell=tell) as stack:
            books = await making
            tell(f"made the books: {books.rows:,} rows in {folder / 'books'}")
            here = session_of(stack)
            run_id = await begin(here, books)
            tell(f"run {run_id} of {WORKFLOW}")
            ended = await _follow(stack, here, run_id, folder, manual=manual)
            seconds = time.monotonic() - began
            files = await write_files(ended.output, REPORTS / str(run_id), here.artifacts)
            tell("stopping everything")
    completed = ended.status == "completed"
    return Finished(
        run=ended,
        report=Report.model_validate(ended.output) if completed else None,
        files=files,
        seconds=seconds,
        rows=books.rows,
        currency=str(books.request["currency"]),
    )


def session_of(stack: Stack) -> Session:
    """A session over the stack's own connection."""
    artifacts = ArtifactStore(stack.environment["DALSEGNO_ARTIFACTS_URL"])
    return Session(bus=stack.bus, subjects=stack.subjects, artifacts=artifacts)


async def begin(here: Session, books: DemoBooks) -> RunId:
    """Register the workflow and start a run on these books."""
    definition = example(WORKFLOW)
    assert definition is not None
    await here.client.register(definition)
    accepted = await here.client.start(WORKFLOW, books.request, labels={"demo": "true"})
    return accepted.run_id


async def _follow(
    stack: Stack, here: Session, run_id: RunId, folder: Path, *, manual: bool
) -> RunChanged:
    """Show the run to its end; give up if a process of ours ends before."""
    answer = Approval(here, run_id, folder, manual=manual)
    async with asyncio.TaskGroup() as group:
        guard = group.create_task(nobody_ends(stack.processes))
        ended = await follow(here, run_id, react=answer.consider)
        guard.cancel()
    return ended


class Approval:
    """Answers the run's one question, or tells the user how to."""

    def __init__(self, here: Session, run_id: RunId, folder: Path, *, manual: bool) -> None:
        self._here = here
        self._run_id = run_id
        self._folder = folder
        self._manual = manual
        self._done = False

    async def consider(self, scene: Scene, tell: Callable[[str], None]) -> None:
        """Act once the run waits for its approval."""
        if self._done or scene.waiting_for_signal(SIGNAL) is None:
            return
        self._done = True
        if self._manual:
            signal = f"runs signal {self._run_id} {SIGNAL} --payload {shlex.quote(_EXAMPLE)}"
            tell(f"{_WHY}. Type in another terminal:\n  {typed(signal, self._folder)}")
            return
        at = f"{utc_now():%Y-%m-%d %H:%M} UTC"
        await self._here.client.signal(self._run_id, SIGNAL, {**_ANSWER, "at": at})
        tell(f"{_WHY}: the demo approves it itself (--manual leaves that to you)")
