"""`dalsegno trace`: where the time of a run went, here or in a tracing backend."""

import asyncio
from pathlib import Path

import click

from dalsegno.commands.history import entries_of
from dalsegno.inputs import check_reference
from dalsegno.options import folder_option, json_option
from dalsegno.output import console, print_json, say
from dalsegno.reading import reading
from dalsegno.timeline import Timeline, timeline_of
from dalsegno_projections.asking import TRACE
from dalsegno_projections.questions import AskTrace, TraceSent


@click.command()
@click.argument("run")
@click.option("--send", is_flag=True, help="Send its trace (again) to the OTLP endpoint.")
@folder_option
@json_option
def trace(run: str, send: bool, folder: Path | None, as_json: bool) -> None:
    r"""Show where the time of a run went, attempt by attempt.

    With --send, the projections send the trace of a run that has ended once more, to where
    OTEL_EXPORTER_OTLP_ENDPOINT points; ids never change, so it is the same trace.

    \b
    Examples:
      dalsegno trace 0193c2f1-7a3b
      dalsegno trace 0193c2f1-7a3b --send
    """
    reference = check_reference(run)
    if send:
        sent = asyncio.run(_send(folder, reference))
        if as_json:
            print_json(sent.model_dump(mode="json"))
        else:
            click.echo(f"sent trace {sent.trace_id} of run {sent.run_id}: {sent.spans} spans")
        return
    timeline = asyncio.run(_timeline(folder, reference))
    if as_json:
        print_json(timeline.as_json())
        return
    shown = console()
    shown.print(timeline.draw())
    say(f"trace {timeline.trace_id}; light: waiting for a free replica")


async def _send(folder: Path | None, reference: str) -> TraceSent:
    async with reading(folder) as here:
        return await here.ask(TRACE, AskTrace(run_id=reference))


async def _timeline(folder: Path | None, reference: str) -> Timeline:
    async with reading(folder) as here:
        run_id = await here.run_id(reference)
        return timeline_of(str(run_id), await entries_of(here, str(run_id)))
