"""`dalsegno dead`: messages that nobody could use, and why."""

import asyncio
from pathlib import Path
from typing import Final

import click

from dalsegno.dead_letters import Filed, newest
from dalsegno.options import folder_option, json_option
from dalsegno.output import cell, console, moment, print_json, say, size, table
from dalsegno.session import session

LETTERS_MAX: Final = 1_000


@click.group(
    help="""Messages that nobody could use.

    \b
    Examples:
      dalsegno dead list
      dalsegno dead list --limit 100 --json
    """
)
def dead() -> None:
    """Messages that nobody could use."""


@dead.command("list")
@click.option("--limit", type=click.IntRange(1, LETTERS_MAX), default=20, show_default=True)
@folder_option
@json_option
def list_letters(limit: int, folder: Path | None, as_json: bool) -> None:
    r"""List dead letters, the newest first: where each was sent, and what was wrong with it.

    \b
    Examples:
      dalsegno dead list
      dalsegno dead list --limit 100 --json
    """

    async def fetch() -> tuple[list[Filed], int]:
        async with session(folder) as here:
            return await newest(here.bus, here.subjects, limit=limit)

    found, total = asyncio.run(fetch())
    if as_json:
        print_json({"total": total, "letters": [one.model_dump(mode="json") for one in found]})
        return
    if not found:
        say("no dead letters")
        return
    rows = [
        (
            str(one.number),
            moment(one.letter.at if one.letter else None),
            cell(one.origin),
            size(one.letter.body_bytes) if one.letter else "",
            cell(f"{one.letter.subject}: {one.letter.reason}" if one.letter else one.fault),
        )
        for one in found
    ]
    headers = (">#", "At (UTC)", "Found by", ">Size", "*Subject and reason")
    console().print(table(*headers, rows=rows))
    if total > len(found):
        say(f"{total - len(found)} older ones: --limit {min(LETTERS_MAX, limit * 5)}")
