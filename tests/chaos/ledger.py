"""Lists on disk that outlive whoever writes them: one line of JSON for each entry.

A line goes out in one write at the end of the file, so that several processes share a list, and a
process that is killed leaves at most half a line, which nobody reads.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

FOLDER_VARIABLE: Final = "CHAOS_FOLDER"
"""Tells the processes under chaos where their lists are."""


class Ledger:
    """One list. Its file is made with the first entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; when this returns, a killed process has written it all the same."""
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.write(self._file, b"\n" + orjson.dumps(entry) + b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        """Every whole entry, the oldest first."""
        if not self.path.exists():
            return
        for line in self.path.read_bytes().split(b"\n"):
            if line:
                try:
                    yield orjson.loads(line)
                except orjson.JSONDecodeError:  # the half line of one that was killed
                    continue


def works_in(folder: Path) -> Ledger:
    """What agents began and finished."""
    return Ledger(folder / "works.jsonl")


def asked_in(folder: Path) -> Ledger:
    """The runs that customers asked for."""
    return Ledger(folder / "asked.jsonl")


def accepted_in(folder: Path) -> Ledger:
    """The runs that customers were told are accepted."""
    return Ledger(folder / "accepted.jsonl")


def signalled_in(folder: Path) -> Ledger:
    """The runs whose signal was accepted."""
    return Ledger(folder / "signalled.jsonl")
