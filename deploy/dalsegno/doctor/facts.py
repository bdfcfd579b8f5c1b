"""What doctors look at, as plain values; and what they find. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from dalsegno.output import size

Level: TypeAlias = Literal["ok", "warn", "bad"]
_GIB: Final = 1 << 30
Profile: TypeAlias = Literal["local", "production"]

Now: TypeAlias = Callable[[], datetime]
"""The clock of this machine (UTC)."""

RANK: Final[Mapping[Level, int]] = {"bad": 0, "warn": 1, "ok": 2}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one thing stands."""

    level: Level
    about: str
    """What was looked at, in a word or two."""
    what: str
    """How it stands, in one sentence."""
    todo: str = ""
    """What to do about it; empty where all is well."""

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"level": self.level, "about": self.about, "what": self.what, "todo": self.todo}


def ok(about: str, what: str) -> Finding:
    """All is well."""
    return Finding(level="ok", about=about, what=what)


def warn(about: str, what: str, todo: str) -> Finding:
    """It works, and will not under some fault."""
    return Finding(level="warn", about=about, what=what, todo=todo)


def bad(about: str, what: str, todo: str) -> Finding:
    """Something does not work now, or may lose something."""
    return Finding(level="bad", about=about, what=what, todo=todo)


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """What a NATS server's monitoring port says of its JetStream."""

    url: str
    fault: str = ""
    """Why it says nothing."""
    sync_always: bool = False
    sync_seconds: float | None = None
    storage_bytes: int = 0
    storage_bytes_max: int = 0
    """0: not known."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A stream as the server describes it: its settings, how full it is, its consumers."""

    config: Mapping[str, Any]
    messages: int = 0
    consumers: Mapping[str, "Reader"] = field(default_factory=dict[str, "Reader"])
    laggards: tuple[str, ...] = ()
    """Servers whose copy is not current."""
    leaderless: bool = False


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A consumer as the server describes it."""

    config: Mapping[str, Any]
    waiting: int = 0
    """Messages that it has yet to hand out."""
    in_flight: int = 0
    """Handed out and not acknowledged."""


@dataclass(frozen=True, kw_only=True)
class Nats:
    """What NATS says."""

    url: str
    fault: str = ""
    """Why nobody answers; then nothing else here is known."""
    version: str = ""
    has_jetstream: bool = True
    is_encrypted: bool = False
    storage_bytes: int = 0
    storage_bytes_max: int = -1
    """What the account may store; -1: as much as the server."""
    skew_seconds: float | None = None
    """How far its clock is ahead of ours."""
    skew_error_seconds: float = 0.0
    streams: Mapping[str, Stored] = field(default_factory=dict[str, Stored])
    keys: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict[str, Mapping[str, bytes]])
    """What the buckets hold, by bucket and key."""
    monitors: tuple[Monitor, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Database:
    """What the event store says."""

    kind: Literal["sqlite", "postgresql"]
    url: str
    """Without a password."""
    fault: str = ""
    is_missing: bool = False
    """There is no file, or no tables yet."""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    skew_seconds: float | None = None
    skew_error_seconds: float = 0.0
    is_encrypted: bool = True


@dataclass(frozen=True, kw_only=True)
class Lagging:
    """How far a view is behind."""

    view: str
    events_max: int
    seconds: float | None
    parked: int


@dataclass(frozen=True, kw_only=True)
class Views:
    """What the projections say."""

    fault: str = ""
    views: tuple[Lagging, ...] = ()
    tasks_parked: int = 0
    runs_parked: int = 0


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder of this machine that is written to."""

    what: str
    """Who writes there: `artifacts`."""
    path: str
    fault: str = ""
    free_bytes: int | None = None
    total_bytes: int | None = None


def room(count: int) -> str:
    """A number of bytes as one speaks of disks."""
    return size(count) if count < _GIB else f"{count / _GIB:.1f} GiB"
