"""Identifiers: who is who on the wire and in the history.

Every id is made at the edge (a client, an agent's replica) and handed on; the core makes none.
"""

import re
import secrets
import time
from contextvars import ContextVar
from typing import Final, NewType, Protocol, TypeAlias
from uuid import UUID, uuid5

RunId = NewType("RunId", UUID)
"""One execution of a workflow. Its hexadecimal digits are also the id of its trace."""

WorkflowId = NewType("WorkflowId", UUID)
"""The stream of a workflow's versions, derived from its name."""

StreamId: TypeAlias = UUID
"""Any stream of the event store: a run's, a workflow's, a schedule's, that of the limits."""

TaskId = NewType("TaskId", str)
"""One step of a run: the name in the definition, or `name-3` for the item with index 3."""

AgentName = NewType("AgentName", str)
"""A named service with capabilities."""

ReplicaId = NewType("ReplicaId", str)
"""One process of an agent."""

TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""What a subject token may be; whatever becomes one must match it as a whole."""

_RUNS: Final = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be001")
_WORKFLOWS: Final = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be002")
_SCHEDULES: Final = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be003")
LIMITS: Final = UUID("5d0f1d3a-6f0c-5b8e-9a36-0d1f6c5be004")
"""The stream that holds every limit of a namespace."""


class Entropy(Protocol):
    """Where new ids come from; a simulation brings its own, so that it can be repeated."""

    def bits(self, count: int) -> int:
        """So many random bits."""
        ...

    def unix_ms(self) -> int:
        """Milliseconds since 1970-01-01 (UTC)."""
        ...


class _System:
    """The operating system's, which nobody can guess."""

    def bits(self, count: int) -> int:
        return secrets.randbits(count)

    def unix_ms(self) -> int:
        return time.time_ns() // 1_000_000


_SYSTEM: Final[Entropy] = _System()
ENTROPY: Final[ContextVar[Entropy]] = ContextVar("dalsegno_entropy", default=_SYSTEM)
"""Of the tasks in this context."""


def chance() -> float:
    """A random number from 0 to 1, to spread what would else happen to all at the same time."""
    return ENTROPY.get().bits(53) / (1 << 53)


def new_run_id() -> RunId:
    """A fresh id, ordered by time of creation: a UUID of version 7 (RFC 9562, section 5.7)."""
    entropy = ENTROPY.get()
    random_bits = entropy.bits(74)
    high = (entropy.unix_ms() & (1 << 48) - 1) << 80 | 0x7 << 76 | (random_bits >> 62) << 64
    return RunId(UUID(int=high | 0b10 << 62 | random_bits & (1 << 62) - 1))


def run_id_of_key(namespace: str, workflow: str, key: str) -> RunId:
    """The run that an idempotency key stands for: same key, same run."""
    return RunId(uuid5(_RUNS, f"{namespace}\n{workflow}\n{key}"))


def workflow_id(name: str) -> WorkflowId:
    """The stream that holds every version of the workflow called `name`."""
    return WorkflowId(uuid5(_WORKFLOWS, name))


def schedule_id(workflow: str) -> StreamId:
    """The stream of the ticks of the workflow called `workflow`."""
    return uuid5(_SCHEDULES, workflow)


def tick_run_id(namespace: str, workflow: str, tick: str) -> RunId:
    """The run of one tick (ISO 8601, UTC): same tick, same run."""
    return RunId(uuid5(_SCHEDULES, f"{namespace}\n{workflow}\n{tick}"))


def child_run_id(parent: RunId, task_id: str, attempt: int) -> RunId:
    """The run that does one attempt of a sub-workflow: same attempt, same run."""
    return RunId(uuid5(parent, f"{task_id}/{attempt}"))


def undo_id(task: str) -> TaskId:
    """The task that compensates the task called `task`."""
    return TaskId(f"{task}-undo")


def escalation_id(task: str, level: int) -> TaskId:
    """The task that tells somebody that the task called `task` waits."""
    return TaskId(f"{task}-escalation-{level}")


def question_id(task: str, question: str) -> TaskId:
    """The task that answers a question which the task called `task` asks."""
    return TaskId(f"{task}-ask-{question}")


def item_id(task: str, index: int) -> TaskId:
    """Item, or iteration, number `index` (from 0) of the task called `task`."""
    return TaskId(f"{task}-{index}")


def new_message_id() -> str:
    """An id for one message; a copy of the message keeps it."""
    return f"{ENTROPY.get().bits(96):024x}"


def new_replica_id() -> ReplicaId:
    """A name for this process, new at each start."""
    return ReplicaId(f"{ENTROPY.get().bits(32):08x}")


def is_token(text: str) -> bool:
    """Whether `text` may be one token of a subject."""
    return TOKEN.fullmatch(text) is not None
