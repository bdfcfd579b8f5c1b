"""`dalsegno runs replan`: change what has not begun in a run."""

import asyncio
from pathlib import Path

import click

from dalsegno.change_files import read_change
from dalsegno.inputs import check_reference
from dalsegno.options import as_option, folder_option, json_option, reason_option
from dalsegno.output import print_json
from dalsegno.session import session
from dalsegno_bus.messages import Accepted


@click.command()
@click.argument("run")
@click.option("--file", required=True, metavar="FILE", help="The change, as YAML; - is stdin.")
@reason_option
@as_option
@folder_option
@json_option
def replan(
    run: str, file: str, reason: str, requested_by: str, folder: Path | None, as_json: bool
) -> None:
    r"""Add, drop and change tasks that have not begun: all of it, or nothing.

    With plan_version, the change is refused if the plan is no longer that one (runs show tells).

    \b
    Examples:
      dalsegno runs replan 0193c2f1-7a3b --file change.yaml --reason "new law"
      dalsegno runs replan 0193c2f1-7a3b --file - < change.yaml

    \b
    A change.yaml:
      plan_version: 1
      add:
        check: {capability: legal.check, input: "${ tasks.analyze }"}
      drop: [letter]
      change:
        report: {capability: finance.report, after: [check]}
    """
    reference = check_reference(run)
    change = read_change(file)

    async def send() -> Accepted:
        async with session(folder) as here:
            return await here.client.replan(
                await here.run_id(reference),
                add=change.add,
                drop=change.drop,
                change=change.change,
                plan_version=change.plan_version,
                reason=reason,
                requested_by=requested_by,
            )

    accepted = asyncio.run(send())
    if as_json:
        print_json(accepted.model_dump(mode="json", exclude={"kind"}))
    else:
        click.echo(f"run {accepted.run_id} is planned anew (it is {accepted.status})")
