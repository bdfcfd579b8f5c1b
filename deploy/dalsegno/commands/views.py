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
from dalsegno_projections.asking import LAG, PARKED
from dalsegno_projections.catalog import VIEWS, open_rows, retry_parked
from dalsegno_projections.projector import Projector
from dalsegno_projections.questions import AskLag, AskParked, Lag, ParkedEvent, ParkedList, ViewLag
from dalsegno_projections.settings import ProjectionSettings

PARKED_LINES_MAX: Final = 20
"""So many events that could not be taken are told one by one."""


@click.group(
    help="""Rebuild the views, or see how far they are behind the history.

    \b
    Examples:
      dalsegno views lag
      dalsegno views parked
      dalsegno views retry
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
        (cell(one.view), str(one.position), str(one.events_max), _seconds(one), str(one.parked))
        for one in found.views
    ]
    console().print(table("View", ">Position", ">Behind by", ">Seconds", ">Parked", rows=rows))
    say(f"the newest event is at position {found.newest_position}")
    for line in parked_lines(found.parked):
        say(line)


def _seconds(lag: ViewLag) -> str:
    return "?" if lag.seconds is None else f"{lag.seconds:.0f}"


@views.command()
@folder_option
@json_option
@click.option("--view", help="Only what this view could not take.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1_000))
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0, 2**31))
def parked(
    folder: Path | None, as_json: bool, view: str | None, limit: int, offset: int
) -> None:  # fmt: skip
    r"""Show the events that a view could not take: position, kind and reason.

    \b
    Examples:
      dalsegno views parked
      dalsegno views parked --view runs --json
    """

    async def fetch() -> ParkedList:
        async with reading(folder) as here:
            return await here.ask(PARKED, AskParked(view=view, limit=limit, offset=offset))

    found = asyncio.run(fetch())
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (cell(one.view), str(one.position), cell(one.kind), cell(one.stream_id), cell(one.reason))
        for one in found.parked
    ]
    console().print(table("View", ">Position", "Kind", "Stream", "Reason", rows=rows))
    say(f"{len(found.parked)} of {counted(found.total, 'parked event')}")
    if found.total:
        say(f"once what they need is there: {typed('views retry', folder)}")


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


@views.command()
@folder_option
@json_option
@click.pass_context
def retry(context: click.Context, folder: Path | None, as_json: bool) -> None:
    r"""Try the parked events again: fold the views that have any anew, with this version.

    Speaks to the databases, not to the projections: those may run meanwhile, and help.
    Ends with 1 if there are still events that a view could not take.

    \b
    Examples:
      dalsegno views retry
    """
    if folder is not None:
        speak_to(folder)
    retried = rebuild_views(read_settings(ProjectionSettings), only_parked=True)
    still = retried["parked"]
    if as_json:
        print_json(retried)
    elif retried["views"]:
        click.echo(f"folded {', '.join(retried['views'])} anew")
    else:
        click.echo("nothing is parked")
    if still:
        say(f"{counted(still, 'event')} could not be taken; why: {typed('views parked', folder)}")
    context.exit(1 if still else 0)


def rebuild_views(settings: ProjectionSettings, *, only_parked: bool = False) -> dict[str, Any]:
    """Make every view anew; tell their names, and up to which position they were folded.

    `parked` counts what could not be taken on the way, once for each view.

    Args:
        settings: Where the databases are.
        only_parked: Only the views that have parked events.

    Raises:
        Unavailable: The event store or the views' database cannot be reached.
    """
    store = Store(settings.store_url, namespace=settings.namespace)
    rows = open_rows(settings)
    try:
        store.ensure_schema()
        rows.ensure_schema()
        projector = Projector(store, rows, VIEWS)
        names = retry_parked(rows) if only_parked else [view.name for view in VIEWS]
        for name in () if only_parked else names:  # all first: they are folded together
            rows.reset(name)
        projector.catch_up()
        positions = [rows.position(view.name) for view in VIEWS]
        return {"views": names, "position": min(positions), "parked": projector.parked}
    finally:
        rows.close()
        store.close()
