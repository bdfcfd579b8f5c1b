"""Looks at the NATS servers: their own API, and the monitoring port. Makes nothing there."""

import asyncio
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from http.client import HTTPException
from typing import Any, Final

import orjson

from dalsegno.doctor.facts import Monitor, Nats, Now, Reader, Stored
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.errors import BusError, DalsegnoError, Unavailable
from dalsegno_bus.nats import NatsBus
from dalsegno_bus.nats.kept import time_of
from dalsegno_bus.nats.streams import bucket_stream
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import topology_of

SECONDS_MAX: Final = 5.0
PAGES_MAX: Final = 100
_NOT_FOUND: Final = 404
_NANOSECONDS: Final = 1e9
_UNLIMITED: Final = 1 << 62


async def look_at_nats(bus: NatsBus, url: str, subjects: Subjects, *, now: Now) -> Nats:
    """Everything but the monitoring ports."""
    about = bus.about()
    nats = Nats(
        url=url,
        version=about.version,
        has_jetstream=about.has_jetstream,
        is_encrypted=about.needs_tls or "tls://" in url,
    )
    try:
        account = await _call(bus, "INFO")
    except DalsegnoError:
        return replace(nats, has_jetstream=False)
    if account is None:
        return replace(nats, has_jetstream=False)
    streams: dict[str, Stored] = {}
    skew: float | None = None
    error = 0.0
    wanted = topology_of(subjects)
    names = [stream.name for stream in wanted.streams]
    names += [bucket_stream(bucket) for bucket in wanted.buckets]
    for name in names:
        before = now()
        info = await _call(bus, f"STREAM.INFO.{name}")
        after = now()
        if info is None:
            continue
        if "ts" in info and skew is None:
            error = (after - before).total_seconds() / 2
            skew = (time_of(info["ts"]) - before).total_seconds() - error
        streams[name] = _stored(info, await _consumers(bus, name))
    there = [bucket for bucket in wanted.buckets if bucket_stream(bucket) in streams]
    return replace(
        nats,
        storage_bytes=account["storage"],
        storage_bytes_max=account.get("limits", {}).get("max_storage", -1),
        skew_seconds=skew,
        skew_error_seconds=error,
        streams=streams,
        keys={bucket: await _keys(bus, bucket) for bucket in there},
    )


async def look_at_monitors(urls: str | None) -> tuple[Monitor, ...]:
    """What each of these monitoring ports says."""
    known = [url.strip().rstrip("/") for url in (urls or "").split(",") if url.strip()]
    return tuple([await asyncio.to_thread(_monitor, url) for url in known])


def _monitor(url: str) -> Monitor:
    if not url.startswith(("http://", "https://")):
        return Monitor(url=url, fault=f"{url!r} is no address: use http://host:8222")
    try:
        with urllib.request.urlopen(f"{url}/jsz?config=true", timeout=SECONDS_MAX) as answer:  # noqa: S310 - checked
            said: dict[str, Any] = orjson.loads(answer.read())
    except (OSError, HTTPException, orjson.JSONDecodeError) as error:
        return Monitor(url=url, fault=f"nothing answers at {url} ({error})")
    config: Mapping[str, Any] = said.get("config") or {}
    if not config:
        return Monitor(url=url, fault=f"{url} says nothing of JetStream")
    nanoseconds = config.get("sync_interval")
    most = int(config.get("max_storage", 0))
    return Monitor(
        url=url,
        sync_always=bool(config.get("sync_always")),
        sync_seconds=None if nanoseconds is None else nanoseconds / _NANOSECONDS,
        storage_bytes=said.get("storage", 0),
        storage_bytes_max=0 if most >= _UNLIMITED else most,
    )


async def _consumers(bus: NatsBus, stream: str) -> dict[str, Reader]:
    found: dict[str, Reader] = {}
    for _ in range(PAGES_MAX):
        page = await _call(bus, f"CONSUMER.LIST.{stream}", {"offset": len(found)})
        consumers: list[dict[str, Any]] = [] if page is None else page.get("consumers") or []
        for one in consumers:
            found[one["name"]] = Reader(
                config=one["config"],
                waiting=one.get("num_pending", 0),
                in_flight=one.get("num_ack_pending", 0),
            )
        if page is None or not consumers or len(found) >= page.get("total", 0):
            break
    return found


def _stored(info: Mapping[str, Any], consumers: Mapping[str, Reader]) -> Stored:
    cluster: Mapping[str, Any] = info.get("cluster") or {}
    laggards = [one["name"] for one in cluster.get("replicas") or () if not one.get("current")]
    return Stored(
        config=info["config"],
        messages=info["state"]["messages"],
        consumers=consumers,
        laggards=tuple(laggards),
        leaderless=bool(cluster) and not cluster.get("leader"),
    )


async def _keys(bus: NatsBus, bucket: str) -> dict[str, bytes]:
    """What a bucket holds; it must be there, or looking would make it."""
    held: dict[str, bytes] = {}
    async with bus.bucket(bucket).watch() as entries:
        async for entry in entries:
            if entry is None:
                break
            if entry.value is not None:
                held[entry.key] = entry.value
    return held


async def _call(
    bus: NatsBus, name: str, question: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """One call of the server's API; None where it finds nothing.

    Raises:
        Unavailable: It does not answer.
        BusError: It refuses.
    """
    body = b"" if question is None else orjson.dumps(question)
    heard = await bus.ask(Outgoing(f"$JS.API.{name}", body), timeout_seconds=SECONDS_MAX)
    try:
        answer: dict[str, Any] = orjson.loads(heard.body)
    except orjson.JSONDecodeError as error:
        raise Unavailable(f"$JS.API.{name} is answered by something that is no server") from error
    fault: dict[str, Any] | None = answer.get("error")
    if fault is None:
        return answer
    if fault.get("code") == _NOT_FOUND:
        return None
    raise BusError(f"the NATS server refuses {name}: {fault.get('description')}")
