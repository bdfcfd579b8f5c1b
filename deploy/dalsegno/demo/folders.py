"""The folders of demos: each has one of its own, and the next clears away what earlier ones left.

A folder is touched only if its stack is known to be at rest, and no file called `keep` is in it.
"""

import secrets
import shutil
from pathlib import Path
from typing import Final

from dalsegno.layout import DEFAULT_FOLDER
from dalsegno.lock import is_at_rest

_PREFIX: Final = "demo-"
_KEEP: Final = "keep"


def new_folder(base: Path = DEFAULT_FOLDER) -> Path:
    """A folder that no other demo has."""
    return base / f"{_PREFIX}{secrets.token_hex(3)}"


def keep(folder: Path) -> None:
    """Have every later demo leave this folder alone."""
    (folder / _KEEP).touch()


def clear_away(base: Path = DEFAULT_FOLDER) -> list[Path]:
    """Remove what earlier demos left; return the folders that are gone."""
    gone: list[Path] = []
    for folder in sorted(base.glob(f"{_PREFIX}*")):
        if (folder / _KEEP).exists() or not is_at_rest(folder):
            continue
        shutil.rmtree(folder, ignore_errors=True)
        gone.append(folder)
    return gone
