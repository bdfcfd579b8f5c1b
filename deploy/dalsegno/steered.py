"""Asks the same of many runs: sends, shows how far it is, sums up. Decides for none of them."""

import asyncio
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import click
from rich.progress import Progress

from dalsegno import interrupts
from dalsegno.inputs import agree
from dalsegno.output import console, counted, is_terminal, print_json, say
from dalsegno.selection import Asked, Chosen, find, tell_which
from dalsegno.session import Session, session
from dalsegno_bus.errors import RunRejected
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Accepted, RunRequest
from dalsegno_orchestrator.workflow.run import RunStatus

SENT_MAX: Final = 200
"""How many runs are asked at the same time."""
PROGRESS_RUNS_MIN: Final = 1_000
"""From so many runs on, whoever reads a log is told how far it is."""
REASONS_SHOWN: Final = 20

Outcome: TypeAlias = tuple[RunId, Accepted | RunRejected]


def steer(
    asked: Asked,
    *,
    verb: str,
    statuses: Sequence[RunStatus],
    request_of: Callable[[RunId], RunRequest],
    told: Callable[[Accepted], str],
) -> int:
    """Ask one run or a selection for something, and show what came of it.

    Args:
        asked: Which runs.
        verb: What is done to them, for people: `pause`.
        statuses: How runs may stand to be selected, where the person did not say.
        request_of: The request to a run.
        told: What there is to say of a run that accepted.

    Returns:
        The exit code: 1 if a run refused, or the person did not agree.
    """
    if asked.reference is not None:
        outcomes = interrupts.run(_one(asked, request_of))
        return show(asked, outcomes, told)
    chosen = interrupts.run(_found(asked, statuses))
    if not chosen:
        say(f"no run fits ({asked.words})")
        return show(asked, [], told)
    if not asked.yes:
        tell_which(chosen, asked)
    if not agree(f"{verb} {counted(len(chosen))}?", yes=asked.yes):
        say("nothing was done")
        return 1
    requests = [request_of(one.run_id) for one in chosen]
    return show(asked, interrupts.run(ask_all(asked, requests)), told)


async def ask_all(asked: Asked, requests: Sequence[RunRequest]) -> list[Outcome]:
    """Ask one run after another, some at the same time, and show how far it is.

    Raises:
        Unavailable: No orchestrator answers.
    """
    outcomes: list[Outcome] = []
    try:
        async with session(asked.folder) as here:
            with progress(len(requests), "asked") as tell:
                for begin in range(0, len(requests), SENT_MAX):
                    part = requests[begin : begin + SENT_MAX]
                    outcomes += await _ask(here, part)
                    tell(len(outcomes))
    except asyncio.CancelledError:
        say(f"stopped: {len(outcomes)} of {counted(len(requests))} were asked")
        raise
    return outcomes


def show(asked: Asked, outcomes: Sequence[Outcome], told: Callable[[Accepted], str]) -> int:
    """Show what became of the requests; the exit code is 1 if any was refused."""
    refused = [(run_id, answer) for run_id, answer in outcomes if isinstance(answer, RunRejected)]
    if asked.as_json:
        shown = [outcome_json(*outcome) for outcome in outcomes]
        print_json(shown[0] if asked.reference is not None else shown)
        return 1 if refused else 0
    for _, answer in outcomes:
        if isinstance(answer, Accepted):
            click.echo(f"run {answer.run_id} {told(answer)} (it is {answer.status})")
    tell_refused(refused)
    if asked.reference is None and outcomes:
        say(f"{counted(len(outcomes))} asked: {len(outcomes) - len(refused)} accepted, "
            f"{len(refused)} refused")  # fmt: skip
    return 1 if refused else 0


def tell_refused(refused: Iterable[tuple[RunId, RunRejected]]) -> None:
    """Say of each run why it refused."""
    for run_id, answer in refused:
        say(f"run {run_id} refused: {answer}")


def outcome_json(run_id: RunId, answer: Accepted | RunRejected) -> dict[str, Any]:
    """What became of one request, for programs: `refused` has the reasons, if it was."""
    if isinstance(answer, RunRejected):
        return {"run_id": str(run_id), "refused": list(answer.reasons)}
    return {**answer.model_dump(mode="json", exclude={"kind"}), "refused": []}


@contextmanager
def progress(total: int, done: str) -> Generator[Callable[[int], None]]:
    """What to call with how many of `total` runs are done; shown on stderr if it takes long."""
    if not is_terminal():

        def tell(count: int) -> None:
            if total >= PROGRESS_RUNS_MIN and (count % PROGRESS_RUNS_MIN < SENT_MAX):
                say(f"{count} of {total} runs {done}")

        yield tell
        return
    with Progress(console=console(to_stderr=True), transient=True) as shown:
        task = shown.add_task(f"runs {done}", total=total)
        yield lambda count: shown.update(task, completed=count)


async def _one(asked: Asked, request_of: Callable[[RunId], RunRequest]) -> list[Outcome]:
    async with session(asked.folder) as here:
        [chosen] = await find(here, asked, ())
        return await _ask(here, [request_of(chosen.run_id)])


async def _found(asked: Asked, statuses: Sequence[RunStatus]) -> list[Chosen]:
    async with session(asked.folder) as here:
        return await find(here, asked, statuses)


async def _ask(here: Session, requests: Sequence[RunRequest]) -> list[Outcome]:
    answers = await here.client.request_many(requests)
    return [(request.run_id, answer) for request, answer in zip(requests, answers, strict=True)]
