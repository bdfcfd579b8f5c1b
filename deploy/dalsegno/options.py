"""Options that several commands share."""

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
