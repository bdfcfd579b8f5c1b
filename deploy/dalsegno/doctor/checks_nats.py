"""Judges the NATS servers: version, JetStream, what they force to disk, copies, room. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from dalsegno.doctor.facts import Finding, Monitor, Nats, Profile, bad, ok, room, warn
from dalsegno.output import counted

VERSION_MIN: Final = (2, 12)
REPLICAS_MIN: Final = 3
FULL_FROM: Final = 0.8
"""From this share on, what is stored is too much."""


def check_nats(nats: Nats, profile: Profile) -> Iterator[Finding]:
    """How the servers stand; where nobody answers, that alone."""
    if nats.fault:
        yield bad("NATS", nats.fault, "start it, or set DALSEGNO_NATS_URL to where it runs")
        return
    yield _version(nats)
    if not nats.has_jetstream:
        todo = "add a `jetstream { store_dir: … }` block to its settings, or start it with -js"
        yield bad("JetStream", "it is off: nothing can be stored", todo)
        return
    yield ok("JetStream", "it is on")
    yield from _room(nats)
    yield from _syncing(nats, profile)
    yield from _copies(nats, profile)
    if profile == "production" and not nats.is_encrypted:
        todo = "give the servers certificates, and use tls:// in DALSEGNO_NATS_URL"
        yield warn("NATS", f"the connection to {nats.url} is not encrypted (no TLS)", todo)


def _version(nats: Nats) -> Finding:
    numbers = tuple(int(part) for part in re.findall(r"\d+", nats.version)[:2])
    if numbers >= VERSION_MIN:
        return ok("NATS", f"version {nats.version} answers at {nats.url}")
    wanted = ".".join(map(str, VERSION_MIN))
    said = f"version {nats.version or 'unknown'} is too old: {wanted} or newer is needed"
    return bad("NATS", said, f"install nats-server {wanted} or newer")


def _room(nats: Nats) -> Iterator[Finding]:
    todo = "raise the account's limit, or find out who does not take messages (see the backlog)"
    if nats.storage_bytes_max > 0:
        yield _full("account", nats.storage_bytes, nats.storage_bytes_max, todo)
    for monitor in nats.monitors:
        if monitor.storage_bytes_max and not monitor.fault:
            todo = "raise max_file_store, or add a disk"
            yield _full(monitor.url, monitor.storage_bytes, monitor.storage_bytes_max, todo)


def _full(whose: str, used: int, most: int, todo: str) -> Finding:
    said = f"{whose}: {room(used)} of {room(most)} are in use"
    if used >= most:
        return bad("JetStream room", f"{said}: nothing more is stored", todo)
    return (
        warn("JetStream room", said, todo)
        if used >= FULL_FROM * most
        else ok("JetStream room", said)
    )


def _syncing(nats: Nats, profile: Profile) -> Iterator[Finding]:
    if not nats.monitors:
        said = "sync_interval cannot be seen: no monitoring port is known"
        todo = "set DALSEGNO_NATS_MONITOR_URL (http://host:8222), with http_port in its settings"
        yield (
            warn("sync_interval", said, todo)
            if profile == "production"
            else ok("sync_interval", said)
        )
    for monitor in nats.monitors:
        yield _synced(monitor, profile)


def _synced(monitor: Monitor, profile: Profile) -> Finding:
    about = "sync_interval"
    if monitor.fault:
        said = f"sync_interval cannot be seen: {monitor.fault}"
        return warn(about, said, "set DALSEGNO_NATS_MONITOR_URL to the server's http_port")
    if monitor.sync_always:
        return ok(about, f"{monitor.url} forces to disk before it confirms (always)")
    after = "its default" if monitor.sync_seconds is None else f"{monitor.sync_seconds:g} s"
    said = f"{monitor.url} forces to disk every {after}: a power cut takes what came since"
    if profile == "production":
        todo = "set `sync_interval: always` in its jetstream block (runs are safe either way)"
        return warn(about, said, todo)
    return ok(about, f"{said}; it is published again from the event store")


def _copies(nats: Nats, profile: Profile) -> Iterator[Finding]:
    for name, stream in sorted(nats.streams.items()):
        if stream.leaderless:
            todo = "start the servers of the cluster that are away: it needs most of them"
            yield bad("replicas", f"{name} has no leader: it takes and gives nothing", todo)
        elif stream.laggards:
            behind = ", ".join(stream.laggards)
            yield warn("replicas", f"{name}: the copies on {behind} are not current",
                       "wait, or see whether those servers run")  # fmt: skip
    few = sorted(
        name
        for name, stream in nats.streams.items()
        if int(stream.config.get("num_replicas", 1)) < REPLICAS_MIN
    )
    if profile == "production" and few:
        todo = (
            f"run a cluster of {REPLICAS_MIN} servers, then for each: "
            f"nats stream edit NAME --replicas {REPLICAS_MIN}"
        )
        said = (
            f"{counted(len(few), 'stream')} with fewer than {REPLICAS_MIN} copies: {', '.join(few)}"
        )
        yield warn("replicas", said, todo)
