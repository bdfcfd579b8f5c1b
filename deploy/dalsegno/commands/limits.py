"""`dalsegno limits`: what may be under way at the same time, and begun in a time, over all runs."""

import asyncio
from pathlib import Path
from typing import Final

import click

from dalsegno.limits import (
    Standing,
    Waiting,
    holders_table,
    in_words,
    limits_table,
    standing_lines,
    waiting_in,
    waiting_table,
)
from dalsegno.options import as_option, folder_option, json_option
from dalsegno.output import console, print_json, say, typed
from dalsegno.reading import reading
from dalsegno.session import Reading, session
from dalsegno_bus.errors import DalsegnoError, UsageError
from dalsegno_bus.messages import Accepted
from dalsegno_orchestrator.workflow.grammar.shape import Unfit
from dalsegno_orchestrator.workflow.grammar.terms import parse_rate
from dalsegno_projections.asking import LIMIT_USE, LIMITS, RUN_DETAIL
from dalsegno_projections.questions import (
    AskLimits,
    AskLimitUse,
    AskRunDetail,
    LimitList,
    LimitSummary,
    LimitWaiters,
)

RUNS_LOOKED_AT: Final = 50
"""Of so many waiting runs, the tasks that wait are listed."""
LIMITS_MAX: Final = 100_000


@click.group(
    help="""Limits over all runs: of a capability, or of a quota that tasks take of.

    \b
    Examples:
      dalsegno limits list
      dalsegno limits set capability:finance.analyze --concurrency 5 --rate 100/m
      dalsegno limits set quota:openai-tpm --rate 90000/m
      dalsegno limits show quota:openai-tpm
      dalsegno limits remove capability:finance.analyze
    """
)
def limits() -> None:
    """Limits over all runs."""


@limits.command("list")
@folder_option
@json_option
def list_limits(folder: Path | None, as_json: bool) -> None:
    r"""List the limits that are set, and how many tasks wait for each.

    \b
    Examples:
      dalsegno limits list
      dalsegno limits list --json
    """
    found, waiting = asyncio.run(_all(folder))
    if as_json:
        print_json(
            {
                "limits": [one.model_dump(mode="json") for one in found],
                "waiting": [one.model_dump(mode="json") for one in waiting],
            }
        )
    elif found or waiting:
        console().print(limits_table(found, waiting))
    else:
        example = typed("limits set capability:finance.analyze --concurrency 5", folder)
        say(f"no limits; set one: {example}")


@limits.command()
@click.argument("limit")
@folder_option
@json_option
def show(limit: str, folder: Path | None, as_json: bool) -> None:
    r"""Show one limit: what of it is taken by whom, and who waits for it, since when.

    \b
    Examples:
      dalsegno limits show quota:openai-tpm
      dalsegno limits show workflow:financial-report --json
    """
    if not limit.startswith("workflow:"):
        check_limit(limit)
    found = asyncio.run(_standing(folder, limit))
    if as_json:
        print_json(found.as_json())
        return
    shown = console()
    for line in standing_lines(found):
        shown.print(line)
    for rows, made in ((found.use.holders, holders_table), (found.waiting, waiting_table)):
        if rows:
            shown.print()
            shown.print(made(found))
    if found.runs_waiting > RUNS_LOOKED_AT:
        say(f"only the tasks of the first {RUNS_LOOKED_AT} runs are listed")


@limits.command("set")
@click.argument("limit")
@click.option("--concurrency", type=click.FloatRange(min=0.0, min_open=True), metavar="N",
              help="So much at the same time.")  # fmt: skip
@click.option("--rate", metavar="N/TIME", help="So much begins in a time: 5/s, 100/m, 1000/h.")
@as_option
@folder_option
@json_option
def set_limit(
    limit: str,
    concurrency: float | None,
    rate: str | None,
    requested_by: str,
    folder: Path | None,
    as_json: bool,
) -> None:
    r"""Set LIMIT: capability:NAME, or quota:NAME. What was set before is replaced as a whole.

    A capability counts attempts; a quota counts what the tasks that name it say they take.

    \b
    Examples:
      dalsegno limits set capability:finance.analyze --concurrency 5 --rate 100/m
      dalsegno limits set quota:openai-tpm --rate 90000/m
    """
    check_limit(limit)
    if concurrency is None and rate is None:
        raise UsageError(
            f"say how much: --concurrency N, --rate N/TIME or both; "
            f"to have no limit: {typed(f'limits remove {limit}')}"
        )
    count, seconds = read_rate(rate)
    accepted = asyncio.run(
        _set(folder, limit, requested_by, concurrency=concurrency, rate=count, seconds=seconds)
    )
    if as_json:
        print_json(
            {"limit": limit, "concurrency": concurrency, "rate": count, "rate_seconds": seconds}
        )
    else:
        click.echo(f"{limit} is {accepted.status}: {in_words(concurrency, count, seconds)}")


@limits.command()
@click.argument("limit")
@as_option
@folder_option
@json_option
def remove(limit: str, requested_by: str, folder: Path | None, as_json: bool) -> None:
    r"""Have no LIMIT any more. Tasks that take of a quota wait until it is set again.

    \b
    Examples:
      dalsegno limits remove capability:finance.analyze
    """
    check_limit(limit)
    was_set = asyncio.run(_remove(folder, limit, requested_by))
    if as_json:
        print_json({"limit": limit, "concurrency": None, "rate": None, "was_set": was_set})
    else:
        click.echo(f"{limit} is removed" if was_set else f"{limit} was not set")


def check_limit(limit: str) -> None:
    """Make sure that a word can be a limit that people set.

    Raises:
        UsageError: It cannot; says what can.
    """
    kind, colon, name = limit.partition(":")
    if kind == "workflow" and name:
        raise UsageError(
            f"the limits of workflow {name!r} stand in its definition: give it `limits:`, "
            "and register a new version"
        )
    if kind not in {"capability", "quota"} or not (colon and name):
        raise UsageError(
            f"{limit!r} is no limit: write capability:NAME or quota:NAME, "
            "such as capability:finance.analyze"
        )


def read_rate(text: str | None) -> tuple[float | None, float]:
    """How many in how many seconds; (None, 60) where there is none.

    Raises:
        UsageError: It is no rate.
    """
    if text is None:
        return None, 60.0
    try:
        return parse_rate(text)
    except Unfit as error:
        hint = f"; {error.suggestion}" if error.suggestion else ""
        raise UsageError(f"--rate: {error}{hint}") from None


async def _all(folder: Path | None) -> tuple[list[LimitSummary], list[LimitWaiters]]:
    async with reading(folder) as here:
        return await _listed(here)


async def _listed(here: Reading) -> tuple[list[LimitSummary], list[LimitWaiters]]:
    """Every limit that is set, and who waits for any."""
    found: list[LimitSummary] = []
    while len(found) < LIMITS_MAX:
        page: LimitList = await here.ask(LIMITS, AskLimits(offset=len(found)))
        found += page.limits
        if not page.more or not page.limits:
            return found, page.waiting
    raise UsageError(f"there are more than {LIMITS_MAX} limits")


async def _standing(folder: Path | None, limit: str) -> Standing:
    async with reading(folder) as here:
        found, waiters = await _listed(here)
        use = await here.ask(LIMIT_USE, AskLimitUse(limit=limit))
        setting = next((one for one in found if one.limit == limit), None)
        of_it = next((one for one in waiters if one.limit == limit), None)
        waiting: list[Waiting] = []
        for run in [] if of_it is None else of_it.runs[:RUNS_LOOKED_AT]:
            detail = await here.ask(RUN_DETAIL, AskRunDetail(run_id=run.run_id))
            waiting += waiting_in(run.run_id, run.workflow, detail.tasks, limit)
    return Standing(
        limit=limit,
        setting=setting,
        use=use,
        waiting=sorted(waiting, key=lambda one: one.since),
        runs_waiting=0 if of_it is None else of_it.runs_total,
    )


async def _remove(folder: Path | None, limit: str, requested_by: str) -> bool:
    """Remove it; tell whether it was set, as far as the views know (without them: it was)."""
    async with session(folder) as here:
        try:
            was_set = any(one.limit == limit for one in (await _listed(here))[0])
        except DalsegnoError:  # a limit can be removed without them
            was_set = True
        await here.client.set_limit(
            limit, concurrency=None, rate=None, rate_seconds=60.0, requested_by=requested_by
        )
    return was_set


async def _set(
    folder: Path | None,
    limit: str,
    requested_by: str,
    *,
    concurrency: float | None,
    rate: float | None,
    seconds: float,
) -> Accepted:
    async with session(folder) as here:
        return await here.client.set_limit(
            limit,
            concurrency=concurrency,
            rate=rate,
            rate_seconds=seconds,
            requested_by=requested_by,
        )
