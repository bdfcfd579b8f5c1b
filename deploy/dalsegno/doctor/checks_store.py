"""Judges the event store: whether it answers, and whether a commit outlives a power cut. Pure."""

from collections.abc import Iterator
from typing import Final

from dalsegno.doctor.facts import Database, Finding, Profile, bad, ok, warn
from dalsegno_orchestrator.storage.schema import SCHEMA_VERSION

_ABOUT: Final = "event store"
_SYNCED: Final = frozenset({"2", "3"})
"""`FULL` and `EXTRA`."""
_PG_ON: Final = ("fsync", "full_page_writes")
_PG_LOST: Final = "a power cut may damage or lose what was accepted"


def check_store(store: Database, profile: Profile) -> Iterator[Finding]:
    """How it stands; where it does not answer, that alone."""
    if store.fault:
        todo = "start the database, or set DALSEGNO_STORE_URL to where it is"
        yield bad(_ABOUT, store.fault, todo)
        return
    if store.is_missing:
        todo = "start an orchestrator: it makes it; or set DALSEGNO_STORE_URL to where it is"
        yield bad(_ABOUT, f"there is none at {store.url} yet", todo)
    else:
        yield ok(_ABOUT, f"{store.url} answers")
        yield from _schema(store)
    yield from _sqlite(store, profile) if store.kind == "sqlite" else _postgres(store, profile)


def _schema(store: Database) -> Iterator[Finding]:
    version = store.settings.get("schema", str(SCHEMA_VERSION))
    if version == str(SCHEMA_VERSION):
        yield ok("schema", f"version {version}, as this Dalsegno knows it")
    else:
        said = f"its tables are of schema {version}, this Dalsegno knows {SCHEMA_VERSION}"
        yield bad("schema", said, "use the newer Dalsegno, or name another store")


def _sqlite(store: Database, profile: Profile) -> Iterator[Finding]:
    settings = store.settings
    if settings:
        synced = settings.get("synchronous", "") in _SYNCED
        if synced and settings.get("journal_mode") == "wal":
            yield ok("durability", "SQLite forces every commit to disk (WAL, synchronous=FULL)")
        else:
            said = (
                f"SQLite has journal_mode={settings.get('journal_mode')}, "
                f"synchronous={settings.get('synchronous')}: a power cut may lose commits"
            )
            todo = "keep the file on a local disk (a shared one has no WAL), and restart"
            yield bad("durability", said, todo)
        if settings.get("quick_check", "ok") != "ok":
            said = f"the file is damaged: {settings['quick_check']}"
            yield bad("event store", said, "stop the services and restore a copy of the file")
    if profile == "production":
        said = "the event store is an SQLite file: one machine, one disk"
        yield warn(_ABOUT, said, "use PostgreSQL: DALSEGNO_STORE_URL=postgresql://…")


def _postgres(store: Database, profile: Profile) -> Iterator[Finding]:
    settings = store.settings
    off = [name for name in _PG_ON if settings.get(name, "on") != "on"]
    for name in off:
        said = f"PostgreSQL runs with {name}={settings[name]}: {_PG_LOST}"
        yield bad("durability", said, f"set {name} = on in postgresql.conf, and restart it")
    commit = settings.get("synchronous_commit", "on")
    if commit == "off":  # our own connections mend it; whoever else writes does not
        said = "PostgreSQL has synchronous_commit=off as its default: Dalsegno switches it on"
        yield warn("durability", said, "set synchronous_commit = on in postgresql.conf")
    if settings and not off and commit != "off":
        said = f"PostgreSQL forces every commit to disk (fsync, synchronous_commit={commit})"
        yield ok("durability", said)
    if profile == "production" and not store.is_encrypted:
        said = f"the connection to {store.url} is not encrypted (no TLS)"
        yield warn(_ABOUT, said, "add ?sslmode=verify-full to DALSEGNO_STORE_URL")
