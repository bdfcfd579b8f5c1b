"""Where the demo company's books are, and which of their columns is what.

The mapping is `books-sources.json`, written as users write theirs; only places are filled in.
"""

from pathlib import Path
from typing import Any, Final

import orjson

MAPPING: Final = Path(__file__).with_name("books-sources.json")


def sources(folder: Path, url: str) -> list[dict[str, Any]]:
    """The five sources: the ERP at `url`, and three workbooks and the bank's file in `folder`."""
    mapped: list[dict[str, Any]] = orjson.loads(MAPPING.read_bytes())
    return [
        one | ({"url": url} if one["kind"] == "sql" else {"path": str(folder / one["path"])})
        for one in mapped
    ]
