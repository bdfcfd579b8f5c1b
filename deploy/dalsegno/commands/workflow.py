"""`dalsegno workflow …`: definitions, from files into the registry and out again."""

import asyncio
from pathlib import Path

import click

from dalsegno.commands.migrate import migrate
from dalsegno.options import folder_option, json_option
from dalsegno.output import cell, console, moment, print_json, say, table, typed
from dalsegno.reading import reading
from dalsegno.session import session
from dalsegno.workflow_files import as_yaml, check_file, counted, definition_in
from dalsegno_bus.messages import Accepted
from dalsegno_projections.asking import WORKFLOWS
from dalsegno_projections.questions import AskWorkflows, WorkflowList


@click.group(
    help="""Check, register, list and show workflows; move runs to another version.

    \b
    Examples:
      dalsegno workflow check report.yaml
      dalsegno workflow register report.yaml
      dalsegno workflow list
      dalsegno workflow show financial-report
      dalsegno workflow migrate financial-report --to 4
    """
)
def workflow() -> None:
    """Check, register, list and show workflows."""


@workflow.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@json_option
@click.pass_context
def check(context: click.Context, files: tuple[str, ...], as_json: bool) -> None:
    r"""List all that is wrong with workflow files, with line and column.

    Needs no server. Ends with 1 if there is a problem. `-` is stdin.

    \b
    Examples:
      dalsegno workflow check report.yaml
      dalsegno workflow check flows/*.yaml --json
    """
    found = {file: check_file(file) for file in files}
    if as_json:
        print_json(
            {
                file: {
                    "workflow": definition.workflow if definition else None,
                    "version": definition.version if definition else None,
                    "problems": [problem.model_dump(exclude_none=True) for problem in problems],
                }
                for file, (definition, problems) in found.items()
            }
        )
    for file, (definition, problems) in found.items():
        for problem in problems:
            click.echo(f"{file}:{problem}", err=as_json)
        if definition is not None and not as_json:
            tasks = f"{len(definition.tasks)} task{'s' if len(definition.tasks) != 1 else ''}"
            click.echo(f"{file}: {definition.workflow} version {definition.version}, {tasks}: good")
        elif problems:
            say(f"{file}: {counted(problems)}")
    context.exit(1 if any(problems for _, problems in found.values()) else 0)


@workflow.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@folder_option
@json_option
def register(files: tuple[str, ...], folder: Path | None, as_json: bool) -> None:
    r"""Register workflow files; the same definition again is the same version.

    \b
    Examples:
      dalsegno workflow register report.yaml
    """
    definitions = [definition_in(file) for file in files]

    async def register_all() -> list[Accepted]:
        async with session(folder) as here:
            return [await here.client.register(definition) for definition in definitions]

    accepted = asyncio.run(register_all())
    if as_json:
        print_json([{"workflow": one.workflow, "version": one.version} for one in accepted])
        return
    for one in accepted:
        click.echo(f"{one.workflow} version {one.version} is registered")


@workflow.command("list")
@folder_option
@json_option
def list_workflows(folder: Path | None, as_json: bool) -> None:
    r"""List every version of every workflow.

    \b
    Examples:
      dalsegno workflow list
    """
    found = asyncio.run(_ask(folder, AskWorkflows()))
    if as_json:
        print_json([one.model_dump(mode="json") for one in found.workflows])
    elif not found.workflows:
        say(f"no workflows; register one: {typed('workflow register FILE', folder)}")
    else:
        rows = [
            (
                cell(one.workflow),
                str(one.version),
                str(one.steps),
                moment(one.registered_at),
                cell(one.registered_by),
            )
            for one in found.workflows
        ]
        headers = ("Workflow", ">Version", ">Tasks", "Registered (UTC)", "*By")
        console().print(table(*headers, rows=rows))


@workflow.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="The newest, unless said.")
@folder_option
@json_option
def show(name: str, version: int | None, folder: Path | None, as_json: bool) -> None:
    r"""Print the definition of a workflow, as YAML.

    \b
    Examples:
      dalsegno workflow show financial-report
      dalsegno workflow show financial-report --version 2 --json
    """
    question = AskWorkflows(workflow=name, version=version)
    found = asyncio.run(_ask(folder, question))
    definition = found.definition or {}
    newest = max(one.version for one in found.workflows)
    whole = {"workflow": name, "version": version or newest, **definition}
    if as_json:
        print_json(whole)
    else:
        click.echo(as_yaml(whole), nl=False)


async def _ask(folder: Path | None, question: AskWorkflows) -> WorkflowList:
    async with reading(folder) as here:
        return await here.ask(WORKFLOWS, question)


workflow.add_command(migrate)
