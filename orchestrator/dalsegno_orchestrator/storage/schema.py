"""Which version of the tables this code knows, and what is said of a newer one."""

from typing import Final

from dalsegno_bus.errors import SettingsError

SCHEMA_VERSION: Final = 1
"""Goes up when the tables change so that older code would write or read them wrongly."""


def schema_table(events_table_name: str) -> str:
    """The table that says by which version the others were made; a store without it: by 1."""
    return f"{events_table_name}_schema"


def judge_schema(found: int | None) -> None:
    """Let tables of this version pass, or of an older one.

    Raises:
        SettingsError: A newer Dalsegno made them.
    """
    if found is not None and found > SCHEMA_VERSION:
        raise SettingsError(
            f"the event store at DALSEGNO_STORE_URL has schema {found}, made by a newer Dalsegno; "
            f"this one knows {SCHEMA_VERSION} and leaves it alone: start the newer version here "
            "too, or name another store"
        )
