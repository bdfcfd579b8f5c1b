"""`dalsegno run`: begin a run, and follow it to its end if asked to."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dalsegno import interrupts
from dalsegno.files import write_files
from dalsegno.inputs import read_json, read_labels, read_seconds
from dalsegno.layout import REPORTS
from dalsegno.options import folder_option, json_option
from dalsegno.output import print_json, say, typed
from dalsegno.session import Session, session
from dalsegno.watch import follow
from dalsegno.workflow_files import definition_in, example, looks_like_file
from dalsegno_bus.errors import RunRejected, Unavailable
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Accepted, Json, RunChanged


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asked for."""

    workflow: str
    input: Json
    key: str | None
    labels: dict[str, str]
    version: int | None
    definition: dict[str, Any] | None
    """To be registered first."""
    must_register: bool
    """False: a refusal means that other versions of this name are there, and one of those runs."""


@click.command()
@click.argument("workflow", metavar="WORKFLOW")
@click.option("--input", "text", metavar="JSON|@FILE", help="The run's input.")
@click.option("--key", help="The same key again is the same run: safe to repeat.")
@click.option("--label", "pairs", multiple=True, metavar="KEY=VALUE", help="May be repeated.")
@click.option("--version", type=click.IntRange(min=1), help="The newest, unless said.")
@click.option("--wait", is_flag=True, help="Show progress until it has ended; 1 if it failed.")
@click.option("--timeout", "limit", metavar="TIME", help="Wait so long at most: 90s, 5m.")
@click.option(
    "--files",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where files of the output go [.dalsegno/reports/RUN].",
)
@folder_option
@json_option
@click.pass_context
def run(
    context: click.Context,
    workflow: str,
    text: str | None,
    key: str | None,
    pairs: tuple[str, ...],
    version: int | None,
    wait: bool,
    limit: str | None,
    files: Path | None,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""Start a run of WORKFLOW: a registered name, or a YAML file, which is registered first.

    The example financial-report is always there. With --wait, files that the output refers to are
    written, and the exit code is 0 only if the run completed. Ctrl-C ends the waiting, not the run.

    \b
    Examples:
      dalsegno run financial-report --input @mine.json --wait
      dalsegno run hello.yaml --input '{"name": "Ada"}' --label team=blue
      dalsegno run nightly --key 2026-01-31 --wait --timeout 10m --json
    """
    if limit is not None and not wait:
        raise click.UsageError("--timeout says how long to wait: give --wait too")
    is_file = looks_like_file(workflow)
    definition = definition_in(workflow) if is_file else example(workflow)
    asked = Asked(
        workflow=definition["workflow"] if definition is not None else workflow,
        input=read_json(text, "--input"),
        key=key,
        labels=read_labels(pairs),
        version=definition.get("version", 1) if is_file and definition is not None else version,
        definition=definition,
        must_register=is_file,
    )
    seconds = read_seconds(limit, "--timeout")
    context.exit(interrupts.run(_run(asked, folder, files, as_json, wait=wait, seconds=seconds)))


async def _run(
    asked: Asked,
    folder: Path | None,
    files: Path | None,
    as_json: bool,
    *,
    wait: bool,
    seconds: float | None,
) -> int:
    async with session(folder) as here:
        accepted = await begin(here, asked)
        if not wait:
            if as_json:
                print_json(accepted.model_dump(mode="json", exclude={"kind"}))
            else:
                _tell(accepted, folder)
            return 0
        say(f"run {accepted.run_id} of {accepted.workflow} (version {accepted.version})")
        ended = await _wait(here, accepted.run_id, folder, seconds)
        place = files or REPORTS / str(ended.run_id)
        written = await write_files(ended.output, place, here.artifacts)
    show_end(ended, written, as_json=as_json)
    return 0 if ended.status == "completed" else 1


async def begin(here: Session, asked: Asked) -> Accepted:
    """Register what has to be registered, and start the run.

    Raises:
        RunRejected: The orchestrator refuses; says why.
    """
    if asked.definition is not None:
        try:
            await here.client.register(asked.definition)
        except RunRejected:
            if asked.must_register:
                raise
    return await here.client.start(
        asked.workflow,
        asked.input,
        key=asked.key,
        labels=asked.labels,
        version=asked.version,
    )


def show_end(ended: RunChanged, written: list[Path], *, as_json: bool) -> None:
    """Show how a run ended: its output as JSON on stdout, or why there is none."""
    if as_json:
        shown = ended.model_dump(mode="json", exclude={"kind"})
        print_json({**shown, "files": [str(path) for path in written]})
        return
    if ended.status == "completed":
        print_json(ended.output)
        for path in written:
            say(f"wrote {path}")
    why = f": {ended.error.message}" if ended.error else ""
    say(f"run {ended.run_id} {ended.status}{why}")


async def _wait(
    here: Session, run_id: RunId, folder: Path | None, seconds: float | None
) -> RunChanged:
    again = f"it goes on; look again: {typed(f'runs watch {run_id}', folder)}"
    try:
        async with asyncio.timeout(seconds):
            return await follow(here, run_id)
    except TimeoutError as error:
        raise Unavailable(f"run {run_id} has not ended within {seconds:g} s; {again}") from error
    except asyncio.CancelledError:
        say(again)
        raise


def _tell(accepted: Accepted, folder: Path | None) -> None:
    click.echo(f"{accepted.run_id}")
    say(
        f"{accepted.workflow} (version {accepted.version}) is {accepted.status}; "
        f"follow it: {typed(f'runs watch {accepted.run_id}', folder)}"
    )
