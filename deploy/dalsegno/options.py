"""Options that several commands share."""

import getpass
from pathlib import Path
from typing import Final

import click

from dalsegno.layout import FOLDER_VARIABLE

json_option: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, for programs."
)

folder_option: Final = click.option(
    "--folder",
    envvar=FOLDER_VARIABLE,
    type=click.Path(path_type=Path, file_okay=False),
    help="Speak to the stack whose files lie in DIR.",
    metavar="DIR",
)


def login_name() -> str:
    """Who types here, as far as the system knows."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # which of them depends on Python and the system
        return "cli"


as_option: Final = click.option(
    "--as",
    "requested_by",
    metavar="NAME",
    default=login_name,
    show_default="your login name",
    help="Who does it; stands in the history.",
)

reason_option: Final = click.option("--reason", default="", help="Stands in the history.")

yes_option: Final = click.option("--yes", is_flag=True, help="Do not ask whether to go on.")
