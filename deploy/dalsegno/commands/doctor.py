"""`dalsegno doctor`: what is wrong with an installation, and what to do about it."""

from pathlib import Path
from typing import Final

import click

from dalsegno import interrupts
from dalsegno.doctor.examination import examine
from dalsegno.doctor.facts import Finding, Level, Profile
from dalsegno.doctor.settings import DoctorSettings
from dalsegno.layout import speak_to
from dalsegno.options import folder_option, json_option
from dalsegno.output import cell, clean, console, print_json, say, table
from dalsegno_bus.settings import read_settings

_STYLES: Final[dict[Level, str]] = {"ok": "green", "warn": "bold yellow", "bad": "bold red"}


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["local", "production"]),
    default="local",
    show_default=True,
    help="What is asked for: production wants copies, TLS, more than one of each.",
)
@click.option("--problems", is_flag=True, help="Only what is not well.")
@folder_option
@json_option
@click.pass_context
def doctor(
    context: click.Context, profile: Profile, problems: bool, folder: Path | None, as_json: bool
) -> None:
    r"""Look at servers, streams, leases, agents, views and disks; say what to do.

    Changes nothing. Ends with 1 if something is bad; a server that is away is a
    finding. How often NATS forces data to disk shows only at its monitoring port:
    set DALSEGNO_NATS_MONITOR_URL=http://host:8222 to have it looked at.

    \b
    Examples:
      dalsegno doctor
      dalsegno doctor --profile production --problems
      dalsegno doctor --json
    """
    if folder is not None:
        speak_to(folder)
    found = interrupts.run(examine(read_settings(DoctorSettings), profile))
    counts: dict[Level, int] = {
        level: sum(one.level == level for one in found) for level in _STYLES
    }
    if as_json:
        findings = [one.as_json() for one in found]
        print_json({"profile": profile, "counts": counts, "findings": findings})
    else:
        _show([one for one in found if one.level != "ok"] if problems else found)
        say(f"{counts['bad']} bad, {counts['warn']} to look at, {counts['ok']} well")
    context.exit(1 if counts["bad"] else 0)


def _show(found: list[Finding]) -> None:
    if not found:
        return
    rows = [(cell(one.level, _STYLES[one.level]), cell(one.about), _words(one)) for one in found]
    console().print(table("How", "About", "*What, and what to do", rows=rows))


def _words(finding: Finding) -> str:
    what = clean(finding.what)
    return f"{what}\n→ {clean(finding.todo)}" if finding.todo else what
