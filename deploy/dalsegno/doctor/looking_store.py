"""Looks at the event store's database and at folders. Writes nothing but a file that it removes."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from dalsegno.doctor.facts import Database, Now, Place
from dalsegno_bus.errors import DalsegnoError
from dalsegno_orchestrator.storage import sqlite
from dalsegno_orchestrator.storage.schema import schema_table

CONNECT_SECONDS_MAX: Final = 5
_PG_SETTINGS: Final = ("fsync", "full_page_writes", "synchronous_commit")
_SQLITE: Final = "sqlite:///"


def look_at_store(url: str, namespace: str, *, now: Now) -> Database:
    """What the database says of itself. Blocks."""
    table = f"{namespace.replace('-', '_')}_events"
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return _sqlite(url, table)
    if scheme in {"postgresql", "postgres"}:
        return _postgres(url, table, now)
    fault = f"DALSEGNO_STORE_URL={shown(url)!r}: use sqlite:///file.db or postgresql://…"
    return Database(kind="sqlite", url=shown(url), fault=fault)


def shown(url: str) -> str:
    """A URL without its password."""
    password = urlsplit(url).password
    return url if password is None else url.replace(f":{password}@", ":…@", 1)


def _sqlite(url: str, table: str) -> Database:
    path = Path(url.removeprefix(_SQLITE))
    if not path.is_file():  # to open it would make it
        return Database(kind="sqlite", url=url, is_missing=True)
    try:
        recorder = sqlite.open_recorder(url, table)
        try:
            with recorder.datastore.transaction(commit=False) as cursor:
                settings: dict[str, str] = {}
                for name in ("journal_mode", "synchronous", "quick_check"):
                    cursor.execute(f"PRAGMA {name}")
                    row: Any = cursor.fetchone()
                    settings[name] = str(row[0]).lower()
                cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                names = {str(row[0]) for row in cast("list[Any]", cursor.fetchall())}
                schema = schema_table(table)
                if schema in names:
                    cursor.execute(f"SELECT max(version) FROM {schema}")  # noqa: S608 - our own name
                    row = cursor.fetchone()
                    settings["schema"] = str(row[0])
        finally:
            recorder.datastore.close()
    except DalsegnoError as error:
        return Database(kind="sqlite", url=url, fault=str(error))
    except Exception as error:  # noqa: BLE001 - the library's errors have no common root of ours
        return Database(kind="sqlite", url=url, fault=f"{url} cannot be read ({error})")
    return Database(kind="sqlite", url=url, settings=settings, is_missing=table not in names)


def _postgres(url: str, table: str, now: Now) -> Database:
    import psycopg  # an image may have no driver

    try:
        with psycopg.connect(url, connect_timeout=CONNECT_SECONDS_MAX) as connection:
            settings: dict[str, str] = {}
            for name in _PG_SETTINGS:
                row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
                settings[name] = str(row[0]) if row else ""
            before = now()
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            error = (now() - before).total_seconds() / 2
            skew = (row[0] - before).total_seconds() - error if row else None
            there = [_has(connection, name) for name in (table, schema_table(table))]
            if there[1]:
                query: Any = f"SELECT max(version) FROM public.{schema_table(table)}"  # noqa: S608 - our own name
                row = connection.execute(query).fetchone()
                settings["schema"] = str(row[0]) if row else ""
            return Database(
                kind="postgresql",
                url=shown(url),
                settings=settings,
                is_missing=not there[0],
                skew_seconds=skew,
                skew_error_seconds=error,
                is_encrypted=bool(connection.pgconn.ssl_in_use),
            )
    except psycopg.Error as error:
        words = " ".join(str(error).split()) or type(error).__name__
        fault = f"{shown(url)} does not answer ({words})"
        return Database(kind="postgresql", url=shown(url), fault=fault)


def _has(connection: Any, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.{table}",)).fetchone()
    return bool(row and row[0])


def look_at_places(artifacts_url: str, store_url: str) -> tuple[Place, ...]:
    """The folders that are written to on this machine. Blocks."""
    places: list[Place] = []
    if "://" not in artifacts_url or artifacts_url.startswith("file://"):
        places.append(_place("artifacts", Path(artifacts_url.removeprefix("file://"))))
    if store_url.startswith(_SQLITE):
        places.append(
            _place("disk of the event store", Path(store_url.removeprefix(_SQLITE)).parent)
        )
    return tuple(places)


def _place(what: str, folder: Path) -> Place:
    nearest = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"x")
        usage = shutil.disk_usage(nearest)
    except OSError as error:
        return Place(what=what, path=str(folder), fault=error.strerror or str(error))
    return Place(what=what, path=str(folder), free_bytes=usage.free, total_bytes=usage.total)
