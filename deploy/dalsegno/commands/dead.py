"""`dalsegno dead`: messages that nobody could use, why, and what is to become of them."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import orjson

from dalsegno import interrupts
from dalsegno.dead_letters import (
    RETRY_BY,
    Done,
    Filed,
    Wanted,
    drop,
    find,
    missing,
    named,
    read_json,
    retry,
)
from dalsegno.inputs import agree, read_seconds
from dalsegno.options import as_option, folder_option, json_option, yes_option
from dalsegno.output import (
    cell,
    clean,
    console,
    counted,
    harmless,
    moment,
    print_json,
    say,
    size,
    table,
    typed,
)
from dalsegno.session import Session, session
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import UsageError

LETTERS_MAX: Final = 1_000
"""So many are listed at most."""
SHOWN_MAX: Final = 10
"""So many are named before a person is asked."""
EXCERPT_BYTES_MAX: Final = 256
"""So much is shown of what is no text."""
_TEXT_MAX: Final = 4_000
_DUMP_WIDTH: Final = 16


@click.group(
    help="""Messages that nobody could use: look at them, send them again, drop them.

    A letter is called by its position in the stream, which is never used twice.
    Listed elsewhere: events that a view could not take (dalsegno views parked), and
    tasks that wait for an agent (dalsegno runs list --status running).

    \b
    Examples:
      dalsegno dead list --since 2h
      dalsegno dead show 17
      dalsegno dead retry 17
      dalsegno dead drop --reason "not JSON" --since 1d
    """
)
def dead() -> None:
    """Messages that nobody could use."""


def _since(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return utc_now() - timedelta(seconds=read_seconds(text, "--since") or 0.0)
        except (UsageError, OverflowError) as error:
            raise click.UsageError(
                f"--since takes a duration (2h, 3d) or a time (2026-01-31T12:00), not {text!r}"
            ) from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _selecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which letters are meant, handed on as `wanted`."""

    @click.option("--reason", default="", metavar="WORDS", help="Whose reason has these words.")
    @click.option("--subject", default="", metavar="PATTERN", help="Sent there; * and > stand.")
    @click.option("--origin", default="", metavar="NAME", help="Found by: orchestrator, agent-…")
    @click.option("--since", callback=_since, metavar="TIME", help="Not older: 2h, 3d, or a time.")
    @functools.wraps(function)
    def command(reason: str, subject: str, origin: str, since: datetime | None, **rest: Any) -> Any:
        wanted = Wanted(reason=reason, subject=subject, origin=origin, since=since)
        return function(wanted=wanted, **rest)

    return command


@dead.command("list")
@_selecting
@click.option("--limit", type=click.IntRange(1, LETTERS_MAX), default=20, show_default=True)
@folder_option
@json_option
def list_letters(wanted: Wanted, limit: int, folder: Path | None, as_json: bool) -> None:
    r"""List dead letters, the newest first: where each was sent, and what was wrong with it.

    \b
    Examples:
      dalsegno dead list
      dalsegno dead list --subject 'ds.report.>' --since 2026-01-31
      dalsegno dead list --limit 100 --json
    """

    async def fetch() -> tuple[list[Filed], int]:
        async with session(folder) as here:
            return await find(here.bus, here.subjects, wanted, limit=limit)

    found, total = interrupts.run(fetch())
    if as_json:
        print_json({"total": total, "letters": [one.as_json() for one in found]})
        return
    if not found:
        say("no dead letters" if wanted.is_everything else f"none of {total} dead letters fits")
        return
    rows = [
        (str(one.number), moment(one.at), cell(one.origin), _size(one), cell(_sentence(one)))
        for one in found
    ]
    headers = (">#", "At (UTC)", "Found by", ">Size", "*Subject and reason")
    console().print(table(*headers, rows=rows))
    if len(found) == limit and total > limit:
        more = f"--limit {min(LETTERS_MAX, limit * 5)}"
        say(f"{counted(total, 'letter')} in all; older ones: {more}")


@dead.command()
@click.argument("position", type=click.IntRange(min=1))
@folder_option
@json_option
@click.pass_context
def show(context: click.Context, position: int, folder: Path | None, as_json: bool) -> None:
    r"""Show one dead letter whole: reason, subject, headers, and the message itself.

    A message that is JSON is shown as such, one that is no text as hexadecimal digits.

    \b
    Examples:
      dalsegno dead show 17
      dalsegno dead show 17 --json
    """

    async def fetch() -> Filed | None:
        async with session(folder) as here:
            return (await named(here.bus, here.subjects, [position]))[0]

    found = interrupts.run(fetch())
    if found is None:
        say(f"there is no letter at {position}; see: {typed('dead list', folder)}")
        context.exit(1)
    if as_json:
        print_json(found.as_json())
        return
    for line in letter_lines(found):
        click.echo(line)


@dead.command("retry")
@click.argument("positions", type=click.IntRange(min=1), nargs=-1)
@_selecting
@click.option("--all", "all_of_them", is_flag=True, help="Every letter there is.")
@as_option
@yes_option
@folder_option
@json_option
@click.pass_context
def retry_letters(context: click.Context, **options: Any) -> None:
    r"""Send messages again where they were sent, as they were; their letters go.

    What is of no use again comes back as a new letter, which says whose retry it was.

    \b
    Examples:
      dalsegno dead retry 17 18
      dalsegno dead retry --reason "unknown agent" --since 1h --yes
      dalsegno dead retry --all --as ada
    """
    requested_by: str = options["requested_by"]

    async def again(here: Session, filed: Filed) -> Done:
        return await retry(here.bus, here.subjects, filed, requested_by=requested_by)

    context.exit(_change("retry", again, **options))


@dead.command("drop")
@click.argument("positions", type=click.IntRange(min=1), nargs=-1)
@_selecting
@click.option("--all", "all_of_them", is_flag=True, help="Every letter there is.")
@as_option
@yes_option
@folder_option
@json_option
@click.pass_context
def drop_letters(context: click.Context, **options: Any) -> None:
    r"""Take letters away for good.

    \b
    Examples:
      dalsegno dead drop 17 18
      dalsegno dead drop --subject 'ds.run.>' --since 1d
      dalsegno dead drop --all --yes
    """

    async def away(here: Session, filed: Filed) -> Done:
        return await drop(here.bus, here.subjects, filed.number)

    context.exit(_change("drop", away, **options))


def _change(
    verb: str,
    change: Callable[[Session, Filed], Awaitable[Done]],
    *,
    positions: Sequence[int],
    wanted: Wanted,
    all_of_them: bool,
    requested_by: str,
    yes: bool,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Do it to the letters that are meant; the exit code: 1 if one was left as it was."""
    ways = bool(positions) + (not wanted.is_everything) + all_of_them
    if ways != 1:
        mistake = "only one of them" if ways else "to say which letters are meant"
        raise click.UsageError(
            f"give POSITIONs, a selection (--reason, --subject, …) or --all, {mistake}"
        )
    numbers = list(dict.fromkeys(positions))
    chosen = interrupts.run(_chosen(folder, numbers, wanted))
    found = [one for one in chosen if isinstance(one, Filed)]
    if not positions:
        if found and not yes:
            _tell_which(found)
        if found and not agree(f"{verb} {counted(len(found), 'letter')}?", yes=yes):
            say("nothing was done")
            return 1
    done: list[Done] = [one for one in chosen if isinstance(one, Done)]

    async def work() -> None:
        try:
            async with session(folder) as here:
                for filed in sorted(found, key=lambda one: one.number):
                    outcome = await change(here, filed)
                    done.append(outcome)
        finally:
            if len(done) < len(chosen):  # interrupted, or the servers went away
                say(f"stopped after {len(done)} of {counted(len(chosen), 'letter')}")

    interrupts.run(work())
    return _told(done, requested_by, as_json=as_json)


async def _chosen(
    folder: Path | None, numbers: Sequence[int], wanted: Wanted
) -> list[Filed | Done]:
    async with session(folder) as here:
        if not numbers:
            return list((await find(here.bus, here.subjects, wanted, limit=None))[0])
        found = await named(here.bus, here.subjects, numbers)
        return [one or missing(number) for one, number in zip(found, numbers, strict=True)]


def _told(done: Sequence[Done], requested_by: str, *, as_json: bool) -> int:
    if as_json:
        letters = [one.as_json() for one in done]
        print_json({"requested_by": requested_by, "letters": letters})
    else:
        for outcome in ("retried", "dropped"):
            count = sum(one.outcome == outcome for one in done)
            if count:
                click.echo(f"{clean(requested_by)} {outcome} {counted(count, 'letter')}")
        for one in done:
            if not one.is_done:
                say(f"{one.number} is left as it is: {clean(one.reason)}")
        if not done:
            say("no letter fits")
    return 0 if all(one.is_done for one in done) else 1


def _tell_which(found: Sequence[Filed]) -> None:
    for one in found[:SHOWN_MAX]:
        say(f"  {one.number}: {clean(_sentence(one))}")
    if len(found) > SHOWN_MAX:
        say(f"  and {len(found) - SHOWN_MAX} more")


def _sentence(one: Filed) -> str:
    again = f" (a retry of {one.retry_of} failed again)" if one.retry_of else ""
    return f"{one.subject}: {one.reason}{again}" if one.letter else one.reason


def _size(one: Filed) -> str:
    return size(one.letter.body_bytes if one.letter else len(one.raw))


def letter_lines(filed: Filed) -> list[str]:
    """A letter for people, line by line, without what would steer a terminal."""
    letter = filed.letter
    lines = [
        f"position  {filed.number}",
        f"at        {moment(filed.at)} UTC",
        f"found by  {clean(filed.origin)}",
        f"subject   {clean(filed.subject) or 'not known'}",
        f"reason    {clean(filed.reason)}",
    ]
    if letter is not None and filed.retry_of is not None:
        who = clean(letter.headers.get(RETRY_BY, "somebody"))
        lines.append(f"retry     of {filed.retry_of}, by {who}: it failed again")
    lines += [
        f"header    {clean(f'{k}: {v}')}" for k, v in (letter.headers if letter else {}).items()
    ]
    cut = f", of which {size(len(filed.body))} were kept" if filed.is_cut else ""
    return [*lines, f"message   {_size(filed)}{cut}", *_body_lines(filed.body)]


def _body_lines(body: bytes) -> list[str]:
    value = read_json(body)
    if value is not None:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode().splitlines()
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return _dump(body)
    if any(ord(sign) < ord(" ") and sign not in "\t\r\n" for sign in text):
        return _dump(body)
    more = ["… (--json has all that was kept)"] if len(text) > _TEXT_MAX else []
    return [*harmless(text[:_TEXT_MAX]).splitlines(), *more]


def _dump(body: bytes) -> list[str]:
    shown = body[:EXCERPT_BYTES_MAX]
    rows = range(0, len(shown), _DUMP_WIDTH)
    lines = [f"{row:08x}  {shown[row : row + _DUMP_WIDTH].hex(' ')}" for row in rows]
    more = ["… (--json has all that was kept, as base64)"] if len(body) > len(shown) else []
    return [*lines, *more]
