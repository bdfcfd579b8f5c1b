"""`dalsegno views …`: how far the views are, and how to make them anew from the history."""

import asyncio
from pathlib import Path
from typing import Any

import click

from dalsegno.layout import speak_to
from dalsegno.options import folder_option, json_option
from dalsegno.output import cell, console, print_json, say, table
from dalsegno.reading import reading
from dalsegno_bus.settings import read_settings
from dalsegno_orchestrator.store import Store
from dalsegno_projections.asking import LAG
from dalsegno_projections.catalog import VIEWS, open_rows
from dalsegno_projections.projector import Projector
from dalsegno_projections.questions import AskLag, Lag
from dalsegno_projections.settings import ProjectionSettings


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
    for event in found.parked:
        say(f"{event.view} could not take {event.kind} at {event.position}: {event.reason}")


@views.command()
@folder_option
@json_option
def rebuild(folder: Path | None, as_json: bool) -> None:
    r"""Drop every view and fold it anew from the first event of the history.

    Speaks to the databases, not to the projections: those may run meanwhile, and help.

    \b
    Examples:
      dalsegno views rebuild
      dalsegno views rebuild --folder .dalsegno/mine
    """
    if folder is not None:
        speak_to(folder)
    rebuilt = rebuild_views(read_settings(ProjectionSettings))
    if as_json:
        print_json(rebuilt)
    else:
        click.echo(f"rebuilt {len(rebuilt['views'])} views up to position {rebuilt['position']}")


def rebuild_views(settings: ProjectionSettings) -> dict[str, Any]:
    """Make every view anew; return their names, and the position up to which they were folded.

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
        return {"views": names, "position": min(rows.position(name) for name in names)}
    finally:
        rows.close()
        store.close()
