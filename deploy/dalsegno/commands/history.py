"""`dalsegno history`: what happened in a run, and how it stood at any moment."""

import asyncio
from pathlib import Path
from typing import Final

import click

from dalsegno.inputs import check_reference
from dalsegno.options import folder_option, json_option
from dalsegno.output import console, print_json, say
from dalsegno.reading import reading
from dalsegno.session import Reading
from dalsegno.shown import history_table, then_lines, then_table
from dalsegno_projections.asking import HISTORY, STATE
from dalsegno_projections.questions import AskHistory, AskState, HistoryEntry, StateThen

EVENTS_MAX: Final = 10_000
"""How many events are read for one command; --after reads on."""
PAGE: Final = 500


@click.command()
@click.argument("run")
@click.option("--at", metavar="N|TIME", help="How it stood after event N, or at a time (UTC).")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only later events.")
@folder_option
@json_option
def history(run: str, at: str | None, after: int, folder: Path | None, as_json: bool) -> None:
    r"""Show what happened in a run, event by event; with --at, how it stood then.

    \b
    Examples:
      dalsegno history 0193c2f1-7a3b
      dalsegno history 0193c2f1-7a3b --at 12
      dalsegno history 0193c2f1-7a3b --at 2026-01-31T12:00:00 --json
    """
    reference = check_reference(run)
    if at is not None:
        _show_state(asyncio.run(_state(folder, AskState(run_id=reference, at=at))), as_json=as_json)
        return
    entries, began_at = asyncio.run(_entries(folder, reference, after))
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    console().print(history_table(entries, began_at))
    if len(entries) >= EVENTS_MAX:
        say(f"there may be more: --after {entries[-1].version}")


async def entries_of(here: Reading, reference: str, after: int = 0) -> list[HistoryEntry]:
    """The events of a run after the one with this number, up to `EVENTS_MAX`, oldest first."""
    entries: list[HistoryEntry] = []
    while len(entries) < EVENTS_MAX:
        question = AskHistory(run_id=reference, after=after, limit=PAGE)
        page = await here.ask(HISTORY, question)
        entries += page.entries
        if not page.more or not page.entries:
            break
        after = page.entries[-1].version
    return entries


async def _entries(
    folder: Path | None, reference: str, after: int
) -> tuple[list[HistoryEntry], str | None]:
    """The events, and when the run began."""
    async with reading(folder) as here:
        entries = await entries_of(here, reference, after)
        if not (entries and after):
            return entries, None
        first = await here.ask(HISTORY, AskHistory(run_id=reference, limit=1))
        return entries, first.entries[0].at


async def _state(folder: Path | None, question: AskState) -> StateThen:
    async with reading(folder) as here:
        return await here.ask(STATE, question)


def _show_state(then: StateThen, *, as_json: bool) -> None:
    if as_json:
        print_json(then.model_dump(mode="json"))
        return
    shown = console()
    for line in then_lines(then):
        shown.print(line)
    shown.print()
    shown.print(then_table(then))
    if then.more:
        say("parts were too large for one answer and are left out")
