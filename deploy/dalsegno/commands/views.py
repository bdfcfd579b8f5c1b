"""`dalsegno views …`: how far the views are, and how to make them anew from the history."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from dalsegno.layout import speak_to
from dalsegno.options import folder_option, json_option
from dalsegno.output import cell, clean, console, counted, print_json, say, table, typed
from dalsegno.reading import reading
from dalsegno_bus.settings import read_settings
from dalsegno_orchestrator.store import Store
from dalsegno_projections.asking import LAG
from dalsegno_projections.catalog import VIEWS, open_rows
from dalsegno_projections.projector import Projector
from dalsegno_projections.questions import AskLag, Lag, ParkedEvent
from dalsegno_projections.settings import ProjectionSettings

PARKED_LINES_MAX: Final = 20
"""So many events that could not be taken are told one by one."""


@click.group(
    help="""Rebuild the views, or see how far they are behind the history.

    \b
    Examples:
      dalsegno views lag
      dalsegno views rebuild
    """
)
def views() -> None:
    """Rebuild the views, or see how far they are behind the history."""


@views.command()
@folder_option
@json_option
def lag(folder: Path | None, as_json: bool) -> None:
    r"""Show how far each view is behind the history.

    \b
    Examples:
      dalsegno views lag --json
    """

    async def fetch() -> Lag:
        async with reading(folder) as here:
            return await here.ask(LAG, AskLag())

    found = asyncio.run(fetch())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (cell(one.view), str(one.position), str(one.events_max), str(one.parked))
        for one in found.views
    ]
    console().print(table("View", ">Position", ">Behind by", ">Parked", rows=rows))
    say(f"the newest event is at position {found.newest_position}")
    for line in parked_lines(found.parked):
        say(line)


def parked_lines(parked: Sequence[ParkedEvent]) -> Iterator[str]:
    """A line for each event that views could not take: its place, their names, the reason."""
    by_event: dict[tuple[int, str, str], list[str]] = {}
    for event in parked:
        by_event.setdefault((event.position, event.kind, event.reason), []).append(event.view)
    for count, ((position, kind, reason), views) in enumerate(by_event.items()):
        if count == PARKED_LINES_MAX:
            yield f"and {len(by_event) - count} more (--json has them)"
            return
        what = kind or "the event"
        yield f"{', '.join(views)} could not take {what} at {position}: {clean(reason)}"


@views.command()
@folder_option
@json_option
@click.pass_context
def rebuild(context: click.Context, folder: Path | None, as_json: bool) -> None:
    r"""Drop every view and fold it anew from the first event of the history.

    Speaks to the databases, not to the projections: those may run meanwhile, and help.
    Ends with 1 if there are events that a view could not take.

    \b
    Examples:
      dalsegno views rebuild
      dalsegno views rebuild --folder .dalsegno/mine
    """
    if folder is not None:
        speak_to(folder)
    rebuilt = rebuild_views(read_settings(ProjectionSettings))
    parked = rebuilt["parked"]
    if as_json:
        print_json(rebuilt)
    else:
        click.echo(f"rebuilt {len(rebuilt['views'])} views up to position {rebuilt['position']}")
    if parked:
        say(f"{counted(parked, 'event')} could not be taken; why: {typed('views lag', folder)}")
    context.exit(1 if parked else 0)


def rebuild_views(settings: ProjectionSettings) -> dict[str, Any]:
    """Make every view anew; tell their names, and up to which position they were folded.

    `parked` counts what could not be taken on the way, once for each view.

    Raises:
        Unavailable: The event store or the views' database cannot be reached.
    """
    store = Store(settings.store_url, namespace=settings.namespace)
    rows = open_rows(settings)
    try:
        store.ensure_schema()
        rows.ensure_schema()
        projector = Projector(store, rows, VIEWS)
        names = [view.name for view in VIEWS]
        for name in names:  # all first, so that they are folded together
            rows.reset(name)
        projector.catch_up()
        return {
            "views": names,
            "position": min(rows.position(name) for name in names),
            "parked": projector.parked,
        }
    finally:
        rows.close()
        store.close()
