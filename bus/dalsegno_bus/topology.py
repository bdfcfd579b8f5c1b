"""What the servers must hold for a namespace: streams, consumers, buckets, described as plain data.

`topology_of` is the whole picture in one place; adapters turn it into their server's own calls.
"""

from dataclasses import dataclass
from typing import Final, Literal

from dalsegno_bus.subjects import Subjects

ACK_WAIT_SECONDS: Final = 10.0
"""How long a silent replica keeps a task before another one gets it."""

INBOX_ACK_WAIT_SECONDS: Final = 10.0
"""How long a silent orchestrator keeps a message before another one gets it."""
INBOX_MESSAGES_MAX: Final = 2_000_000
TASKS_MESSAGES_MAX: Final = 2_000_000
DEAD_MESSAGES_MAX: Final = 100_000
ACKS_PENDING_MAX: Final = 20_000


@dataclass(frozen=True)
class Stream:
    """A stream: which subjects it keeps, and how.

    `work` hands each message to one consumer and forgets it when acknowledged; `log` keeps the
    newest `messages_max` for people to read.
    """

    name: str
    subjects: tuple[str, ...]
    keeps: Literal["work", "log"]
    messages_max: int
    one_per_subject: bool = False
    """A subject holds one message at most, and the server refuses a second."""


@dataclass(frozen=True)
class Consumer:
    """A durable reader of a stream; processes that share it compete for its messages."""

    stream: Stream
    name: str
    patterns: tuple[str, ...]
    ack_wait_seconds: float
    acks_pending_max: int = ACKS_PENDING_MAX


@dataclass(frozen=True)
class Topology:
    """What has to exist before the first message."""

    streams: tuple[Stream, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    buckets: tuple[str, ...] = ()

    def __or__(self, other: "Topology") -> "Topology":
        """Both together; where a name stands in both, as `other` has it."""
        streams = {stream.name: stream for stream in (*self.streams, *other.streams)}
        consumers = {
            (consumer.stream.name, consumer.name): consumer
            for consumer in (*self.consumers, *other.consumers)
        }
        return Topology(
            streams=tuple(streams.values()),
            consumers=tuple(consumers.values()),
            buckets=tuple(dict.fromkeys((*self.buckets, *other.buckets))),
        )


def inbox(subjects: Subjects) -> Stream:
    """Where the orchestrator hears from clients and agents.

    It names every partition, so that a message for one that does not exist is refused at once.
    """
    patterns = (subjects.inbox_patterns(partition) for partition in range(subjects.partitions))
    return Stream(
        name=subjects.inbox_stream,
        subjects=tuple(pattern for both in patterns for pattern in both),
        keeps="work",
        messages_max=INBOX_MESSAGES_MAX,
    )


def tasks(subjects: Subjects) -> Stream:
    """Where attempts wait for an agent."""
    return Stream(
        name=subjects.task_stream,
        subjects=(f"{subjects.namespace}.task.*.*.*.*",),
        keeps="work",
        messages_max=TASKS_MESSAGES_MAX,
        one_per_subject=True,
    )


def dead_letters(subjects: Subjects) -> Stream:
    """Where messages lie that nobody could use."""
    return Stream(
        name=subjects.dead_stream,
        subjects=(f"{subjects.namespace}.dead.*",),
        keeps="log",
        messages_max=DEAD_MESSAGES_MAX,
    )


def inbox_consumer(subjects: Subjects, partition: int) -> Consumer:
    """The one reader of one partition (0 … partitions-1)."""
    return Consumer(
        stream=inbox(subjects),
        name=f"inbox-{partition}",
        patterns=subjects.inbox_patterns(partition),
        ack_wait_seconds=INBOX_ACK_WAIT_SECONDS,
    )


def agent_consumer(subjects: Subjects, agent: str) -> Consumer:
    """What the replicas of one agent compete for."""
    return Consumer(
        stream=tasks(subjects),
        name=f"agent-{agent}",
        patterns=(subjects.task_pattern(agent),),
        ack_wait_seconds=ACK_WAIT_SECONDS,
    )


def topology_of(subjects: Subjects) -> Topology:
    """Everything a namespace needs, but the consumers of agents: each agent brings its own."""
    return Topology(
        streams=(inbox(subjects), tasks(subjects), dead_letters(subjects)),
        consumers=tuple(inbox_consumer(subjects, p) for p in range(subjects.partitions)),
        buckets=(subjects.agents_bucket, subjects.leases_bucket),
    )
