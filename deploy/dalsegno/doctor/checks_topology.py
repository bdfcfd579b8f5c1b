"""Judges streams, consumers and buckets against what they should be, field by field. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from dalsegno.doctor.facts import Finding, Nats, Reader, bad, ok, warn
from dalsegno_bus.nats.streams import bucket_config, consumer_config, stream_config
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import agent_consumer, topology_of

PARTS_MAX: Final = 4
"""So many parts of a list are named that differ."""
_ABOUT: Final = "topology"
_RESTART: Final = "start (or restart) an orchestrator: it makes what is missing and mends the rest"
_PARTITIONS: Final = "give every service the DALSEGNO_PARTITIONS that the namespace began with"


def check_topology(nats: Nats, subjects: Subjects, agents: frozenset[str]) -> Iterator[Finding]:
    """Everything that is missing, differs or should not be there.

    Args:
        nats: What the servers hold.
        subjects: What they should hold, by its names.
        agents: Those that have shown themselves.
    """
    found = [
        *_streams(nats, subjects),
        *_consumers(nats, subjects),
        *_agents(nats, subjects, agents),
    ]
    if not found:
        wanted = topology_of(subjects)
        said = (
            f"{len(wanted.streams)} streams, {len(wanted.consumers)} consumers and "
            f"{len(wanted.buckets)} buckets are as they should be"
        )
        found = [ok(_ABOUT, said)]
    yield from found


def _streams(nats: Nats, subjects: Subjects) -> Iterator[Finding]:
    wanted = topology_of(subjects)
    configs = [stream_config(stream) for stream in wanted.streams]
    configs += [bucket_config(bucket) for bucket in wanted.buckets]
    for config in configs:
        name: str = config["name"]
        stream = nats.streams.get(name)
        if stream is None:
            yield bad(_ABOUT, f"stream {name} is missing", _RESTART)
            continue
        for line in differences(config, stream.config):
            yield bad(_ABOUT, f"stream {name}: {line}", _RESTART)


def _consumers(nats: Nats, subjects: Subjects) -> Iterator[Finding]:
    inbox = nats.streams.get(subjects.inbox_stream)
    if inbox is None:
        return
    wanted = {one.name: consumer_config(one) for one in topology_of(subjects).consumers}
    for name, config in wanted.items():
        yield from _consumer(name, config, inbox.consumers.get(name))
    more = sorted(
        name for name in inbox.consumers.keys() - wanted if re.fullmatch(r"inbox-\d+", name)
    )
    if more:
        said = f"consumers of more partitions than the {subjects.partitions} that are set: "
        yield bad("partitions", f"{said}{', '.join(more)}", _PARTITIONS)


def _agents(nats: Nats, subjects: Subjects, agents: frozenset[str]) -> Iterator[Finding]:
    tasks = nats.streams.get(subjects.task_stream)
    if tasks is None:
        return
    for agent in sorted(agents):
        consumer = agent_consumer(subjects, agent)
        config = consumer_config(consumer)
        config.pop("ack_wait")  # an agent may have one of its own
        there = tasks.consumers.get(consumer.name)
        if there is None:
            todo = f"start a replica of {agent}: it makes its consumer"
            yield warn(_ABOUT, f"consumer {consumer.name} is missing", todo)
        else:
            yield from _consumer(consumer.name, config, there)


def _consumer(name: str, config: Mapping[str, Any], there: Reader | None) -> Iterator[Finding]:
    if there is None:
        yield bad(_ABOUT, f"consumer {name} is missing", _RESTART)
        return
    for line in differences(config, there.config):
        yield bad(_ABOUT, f"consumer {name}: {line}", _RESTART)


def differences(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    """A line for every field that is not as it should be; what is not asked for may be anything."""
    for field, value in wanted.items():
        found = there.get(field)
        if field == "filter_subjects" and found is None and "filter_subject" in there:
            found = [there["filter_subject"]]
        if isinstance(value, list) and isinstance(found, list):
            parts = _parts(cast("list[str]", value), cast("list[str]", found))
            if parts:
                more = f" and {len(parts) - PARTS_MAX} more" if len(parts) > PARTS_MAX else ""
                yield f"{field} has {', '.join(parts[:PARTS_MAX])}{more}"
        elif (found or None) != (value or None):
            yield f"{field} is {found!r}, not {value!r}"


def _parts(wanted: Sequence[str], found: Sequence[str]) -> list[str]:
    parts = [f"{one!r} too much" for one in found if one not in wanted]
    return parts + [f"{one!r} missing" for one in wanted if one not in found]
