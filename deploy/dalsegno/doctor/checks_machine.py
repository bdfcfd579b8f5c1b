"""Judges this machine: clocks against those of the servers, folders, room on disks. Pure."""

from collections.abc import Iterator
from typing import Final

from dalsegno.doctor.facts import Database, Finding, Nats, Place, bad, ok, room, warn

SKEW_WARN_SECONDS: Final = 1.0
SKEW_BAD_SECONDS: Final = 30.0
"""From here on, timers of one machine are plainly wrong on another."""
FREE_WARN: Final = 0.1
FREE_BAD_BYTES: Final = 256 * 1024 * 1024


def check_clocks(nats: Nats, store: Database) -> Iterator[Finding]:
    """Whether everybody has the same time."""
    for whose, skew, error in (
        ("NATS", nats.skew_seconds, nats.skew_error_seconds),
        ("PostgreSQL", store.skew_seconds, store.skew_error_seconds),
    ):
        if skew is not None:
            yield _clock(whose, skew, error)


def _clock(whose: str, skew: float, error: float) -> Finding:
    beyond = max(0.0, abs(skew) - error)
    if beyond < SKEW_WARN_SECONDS:
        return ok("clocks", f"{whose} and this machine agree to {abs(skew) + error:.2f} s")
    side = "ahead of" if skew > 0 else "behind"
    said = f"the clock of {whose} is {abs(skew):.1f} s {side} this machine's"
    todo = "have all machines set their clocks by NTP; timers and deadlines go by them"
    return (bad if beyond >= SKEW_BAD_SECONDS else warn)("clocks", said, todo)


def check_place(place: Place) -> Iterator[Finding]:
    """Whether a folder can be written to, and the room there is."""
    if place.fault:
        todo = "make it writable for the user of the services, or set DALSEGNO_ARTIFACTS_URL"
        yield bad(place.what, f"{place.path} cannot be used: {place.fault}", todo)
        return
    if place.free_bytes is None or place.total_bytes is None:
        yield ok(place.what, f"{place.path} can be used")
        return
    said = f"{place.path}: {room(place.free_bytes)} of {room(place.total_bytes)} are free"
    if place.free_bytes < FREE_BAD_BYTES:
        yield bad(place.what, said, "make room: a full disk stops everything that writes there")
    elif place.free_bytes < FREE_WARN * place.total_bytes:
        yield warn(place.what, said, "make room before it is full")
    else:
        yield ok(place.what, said)
