"""A whole examination: looks at everything there is, then judges it. Never fails: it finds."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from dalsegno.doctor.checks_machine import check_clocks, check_place
from dalsegno.doctor.checks_nats import check_nats
from dalsegno.doctor.checks_store import check_store
from dalsegno.doctor.checks_topology import check_topology
from dalsegno.doctor.checks_work import (
    agents_in,
    check_agents,
    check_backlog,
    check_dead,
    check_leases,
    check_views,
)
from dalsegno.doctor.facts import RANK, Database, Finding, Lagging, Nats, Now, Place, Profile, Views
from dalsegno.doctor.looking_nats import look_at_monitors, look_at_nats
from dalsegno.doctor.looking_store import look_at_places, look_at_store
from dalsegno.doctor.settings import DoctorSettings
from dalsegno_bus.bus import Bus
from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import DalsegnoError, Unavailable
from dalsegno_bus.nats import connect
from dalsegno_bus.subjects import Subjects
from dalsegno_projections.asking import LAG, RUNS, ask
from dalsegno_projections.questions import ROWS_MAX, AskLag, AskRuns

NAME: Final = "doctor"
ASK_SECONDS_MAX: Final = 5.0
PAGES_MAX: Final = 100


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that was looked at."""

    nats: Nats
    store: Database
    views: Views
    places: tuple[Place, ...]


async def examine(
    settings: DoctorSettings, profile: Profile, *, now: Now = utc_now
) -> list[Finding]:
    """How everything stands, the worst first."""
    facts = await look(settings, now=now)
    return sorted(judge(facts, settings.subjects, profile), key=lambda one: RANK[one.level])


async def look(settings: DoctorSettings, *, now: Now) -> Facts:
    """Look at everything; what is away is a fact like any other."""
    async with asyncio.TaskGroup() as group:
        nats = group.create_task(_nats(settings, now))
        monitors = group.create_task(look_at_monitors(settings.nats_monitor_url))
        store = group.create_task(
            asyncio.to_thread(look_at_store, settings.store_url, settings.namespace, now=now)
        )
        places = group.create_task(
            asyncio.to_thread(look_at_places, settings.artifacts_url, settings.store_url)
        )
    found, views = nats.result()
    return Facts(
        nats=replace(found, monitors=monitors.result()),
        store=store.result(),
        views=views,
        places=places.result(),
    )


def judge(facts: Facts, subjects: Subjects, profile: Profile) -> Iterator[Finding]:
    """Every finding, in the order in which things depend on each other. Pure."""
    nats = facts.nats
    yield from check_nats(nats, profile)
    yield from check_store(facts.store, profile)
    yield from check_clocks(nats, facts.store)
    for place in facts.places:
        yield from check_place(place)
    if nats.fault or not nats.has_jetstream:
        return
    yield from check_topology(nats, subjects, agents_in(nats, subjects))
    yield from check_leases(nats, subjects, profile)
    yield from check_backlog(nats, subjects)
    yield from check_agents(nats, subjects)
    yield from check_views(facts.views)
    yield from check_dead(nats, subjects)


async def _nats(settings: DoctorSettings, now: Now) -> tuple[Nats, Views]:
    try:
        bus = await connect(settings.nats_url, name=NAME)
    except DalsegnoError as error:
        return Nats(url=settings.nats_url, fault=_head(error)), Views(fault="NATS is away")
    try:
        nats = await look_at_nats(bus, _shown(settings.nats_url), settings.subjects, now=now)
        return nats, await _views(bus, settings.subjects)
    except DalsegnoError as error:
        return Nats(url=settings.nats_url, fault=str(error)), Views(fault="NATS is away")
    finally:
        await bus.close()


async def _views(bus: Bus, subjects: Subjects) -> Views:
    try:
        lag = await ask(bus, subjects, LAG, AskLag(), timeout_seconds=ASK_SECONDS_MAX)
        tasks, runs = 0, 0
        for number in range(PAGES_MAX):
            question = AskRuns(status="running", limit=ROWS_MAX, offset=number * ROWS_MAX)
            page = await ask(bus, subjects, RUNS, question, timeout_seconds=ASK_SECONDS_MAX)
            counts = [run.tasks.get("parked", 0) for run in page.runs]
            tasks, runs = tasks + sum(counts), runs + sum(count > 0 for count in counts)
            if not page.more:
                break
    except DalsegnoError as error:
        return Views(fault=str(error))
    views = tuple(
        Lagging(view=one.view, events_max=one.events_max, seconds=one.seconds, parked=one.parked)
        for one in lag.views
    )
    return Views(views=views, tasks_parked=tasks, runs_parked=runs)


def _head(error: DalsegnoError) -> str:
    """What went wrong, without what to do about it: a finding says that itself."""
    return str(error).partition(": start one")[0] if isinstance(error, Unavailable) else str(error)


def _shown(url: str) -> str:
    """Addresses without secrets."""
    return ",".join(part.rpartition("@")[2].strip() for part in url.split(","))
