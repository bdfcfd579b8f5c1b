"""Judges the work itself: backlog, leases, agents, views, what is parked, dead letters. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import orjson

from dalsegno.doctor.facts import Finding, Nats, Profile, Views, bad, ok, warn
from dalsegno.output import counted
from dalsegno_bus.subjects import Subjects

WAITING_MAX: Final = 1_000
"""From so many messages on, a partition is behind."""
LAG_SECONDS_MAX: Final = 30.0
ORCHESTRATORS_MIN: Final = 2
NAMED_MAX: Final = 8


def check_backlog(nats: Nats, subjects: Subjects) -> Iterator[Finding]:
    """What waits in the inbox, by partition."""
    inbox = nats.streams.get(subjects.inbox_stream)
    if inbox is None:
        return
    waiting = {name: one.waiting + one.in_flight for name, one in inbox.consumers.items()}
    behind = {name: count for name, count in waiting.items() if count >= WAITING_MAX}
    if not behind:
        yield ok("backlog", f"{counted(sum(waiting.values()), 'message')} in the inbox")
        return
    shown = ", ".join(f"{name} {count}" for name, count in sorted(behind.items())[:NAMED_MAX])
    todo = "see whether the orchestrators run and their database keeps up; start another one"
    yield warn("backlog", f"{counted(len(behind), 'partition')} behind: {shown}", todo)


def check_leases(nats: Nats, subjects: Subjects, profile: Profile) -> Iterator[Finding]:
    """Which partitions nobody works on, and how many orchestrators there are."""
    keys = nats.keys.get(subjects.leases_bucket)
    if keys is None:
        return  # the topology says that it is missing
    members = _values(keys, "member.")
    if not members:
        todo = "start one: dalsegno orchestrator"
        yield bad("orchestrators", "none is here: no run goes on", todo)
    elif len(members) < ORCHESTRATORS_MIN and profile == "production":
        said = f"only {next(iter(members))} is here: while it is away, nothing goes on"
        yield warn("orchestrators", said, f"start {ORCHESTRATORS_MIN} or more")
    else:
        yield ok("orchestrators", f"{counted(len(members), 'orchestrator')}: {_named(members)}")
    yield from _owners(members, _values(keys, "partition."), subjects.partitions)


def _owners(
    members: Mapping[str, Mapping[str, Any]],
    partitions: Mapping[str, Mapping[str, Any]],
    count: int,
) -> Iterator[Finding]:
    free: list[str] = []
    gone: dict[str, str] = {}
    for number in map(str, range(count)):
        lease = partitions.get(number, {})
        owner = lease.get("owner")
        if not owner:
            free.append(number)
        elif owner not in members:
            gone[number] = f"{number} ({owner})"
        elif members[owner].get("incarnation") != lease.get("incarnation"):
            gone[number] = f"{number} ({owner}, an earlier one of that name)"
    todo = "wait some ten seconds: others take over; if not, start an orchestrator and see its log"
    if free:
        yield bad("leases", f"partitions that nobody owns: {_named(free)}", todo)
    if gone:
        said = f"partitions whose owner is gone: {_named(list(gone.values()))}"
        yield bad("leases", said, todo)
    if not free and not gone:
        yield ok("leases", f"each of {counted(count, 'partition')} has an owner that is here")


def check_agents(nats: Nats, subjects: Subjects) -> Iterator[Finding]:
    """Agents that are known and have nobody here."""
    keys = nats.keys.get(subjects.agents_bucket)
    if keys is None:
        return
    cards = agents_in(nats, subjects)
    here = {key.split(".")[1] for key in keys if key.startswith("live.")}
    drained = {key.removeprefix("drained.") for key in keys if key.startswith("drained.")}
    away = sorted(cards - here)
    for agent in away:
        if agent in drained:
            yield ok("agents", f"{agent} is drained, and none of its replicas is here")
            continue
        near = get_close_matches(agent, sorted(here), n=1)
        hint = f" (is {near[0]} meant?)" if near else ""
        todo = f"start one: dalsegno agent MODULE:AGENT{hint}; or drain it for good"
        yield warn("agents", f"{agent} has no live replica: its tasks wait or go elsewhere", todo)
    if not cards:
        yield warn(
            "agents", "no agent has ever been here", "start one: dalsegno agent MODULE:AGENT"
        )
    elif cards & here:
        yield ok("agents", f"{counted(len(cards & here), 'agent')} here: {_named(cards & here)}")


def agents_in(nats: Nats, subjects: Subjects) -> frozenset[str]:
    """The agents that have shown themselves."""
    keys = nats.keys.get(subjects.agents_bucket, {})
    return frozenset(key.removeprefix("card.") for key in keys if key.startswith("card."))


def check_dead(nats: Nats, subjects: Subjects) -> Iterator[Finding]:
    """Messages that nobody could use."""
    stream = nats.streams.get(subjects.dead_stream)
    if stream is None:
        return
    if stream.messages:
        said = f"{counted(stream.messages, 'message')} that nobody could use"
        yield warn("dead letters", said, "look: dalsegno dead list; then dead retry or dead drop")
    else:
        yield ok("dead letters", "none")


def check_views(views: Views) -> Iterator[Finding]:
    """How far the views are behind, and what they know to be parked."""
    if views.fault:
        todo = "start one: dalsegno projections"
        yield bad("views", f"the projections do not answer: {views.fault}", todo)
        return
    behind = [one for one in views.views if one.seconds is None or one.seconds > LAG_SECONDS_MAX]
    for one in behind:
        seconds = "an unknown time" if one.seconds is None else f"{one.seconds:.0f} s"
        said = f"{one.view} is {seconds} behind the history ({one.events_max} events at most)"
        yield warn("views", said, "wait, or see the log of the projections")
    if not behind:
        yield ok(
            "views", f"{counted(len(views.views), 'view')} less than {LAG_SECONDS_MAX:g} s behind"
        )
    parked = {one.view: one.parked for one in views.views if one.parked}
    if parked:
        shown = ", ".join(f"{count} of {view}" for view, count in sorted(parked.items()))
        todo = "see why: dalsegno views parked; then dalsegno views retry"
        yield warn("views", f"events that could not be taken: {shown}", todo)
    if views.tasks_parked:
        said = f"{counted(views.tasks_parked, 'task')} parked in {counted(views.runs_parked)}"
        todo = "see why: dalsegno runs why RUN TASK; start an agent that can do them"
        yield warn("parked tasks", said, todo)
    else:
        yield ok("parked tasks", "none")


def _values(keys: Mapping[str, bytes], prefix: str) -> dict[str, dict[str, Any]]:
    """What lies under keys of this beginning; what is not understood is empty."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in keys.items():
        if key.startswith(prefix):
            try:
                said = orjson.loads(value)
            except orjson.JSONDecodeError:
                said = None
            found[key.removeprefix(prefix)] = said if isinstance(said, dict) else {}
    return found


def _named(names: Sequence[str] | frozenset[str] | Mapping[str, Any]) -> str:
    listed = list(names) if isinstance(names, Sequence) else sorted(names)
    more = f" and {len(listed) - NAMED_MAX} more" if len(listed) > NAMED_MAX else ""
    return f"{', '.join(listed[:NAMED_MAX])}{more}"
