"""The names of the wire: subjects, streams, consumers, buckets, all under one namespace.

Tenants share servers through their namespaces. Every token matches `ids.TOKEN`; the builders
raise `UsageError` for one that does not, so that no name can reach into another's subjects.
"""

from dataclasses import dataclass
from uuid import UUID

from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import RunId, is_token


def partition_of(run_id: UUID, partitions: int) -> int:
    """Which partition (0 … partitions-1) holds the stream with this id."""
    return run_id.int % partitions


@dataclass(frozen=True)
class Subjects:
    """Builds every name from a namespace (a token) and its number of partitions (1 or more)."""

    namespace: str = "ds"
    partitions: int = 16

    def __post_init__(self) -> None:
        if not is_token(self.namespace):
            raise UsageError(
                f"the namespace {self.namespace!r} must match [a-z0-9][a-z0-9_-]*: "
                "it becomes part of every subject"
            )
        if self.partitions < 1:
            raise UsageError(f"partitions must be 1 or more, not {self.partitions}")

    # streams and buckets

    @property
    def inbox_stream(self) -> str:
        return self._upper("INBOX")

    @property
    def task_stream(self) -> str:
        return self._upper("TASKS")

    @property
    def dead_stream(self) -> str:
        return self._upper("DEAD")

    @property
    def agents_bucket(self) -> str:
        return f"{self.namespace}_agents"

    @property
    def leases_bucket(self) -> str:
        return f"{self.namespace}_leases"

    def partition(self, run_id: UUID) -> int:
        """Which partition holds the stream with this id."""
        return partition_of(run_id, self.partitions)

    # subjects

    def request(self, stream_id: UUID) -> str:
        """Where a client writes to the owner of a run or of a workflow."""
        return f"{self.namespace}.run.{self.partition(stream_id)}.{stream_id}"

    def report(self, agent: str, run_id: RunId) -> str:
        """Where an agent reports on its attempts of this run."""
        return f"{self.namespace}.report.{self.partition(run_id)}.{_token(agent)}.{run_id}"

    def task(self, agent: str, run_id: RunId, task_id: str, attempt: int) -> str:
        """The one subject of one attempt: the server refuses a second copy on it."""
        return f"{self.namespace}.task.{_token(agent)}.{run_id}.{_token(task_id)}.{attempt}"

    def dead(self, origin: str) -> str:
        """Where messages go that `origin` (a token) could not use."""
        return f"{self.namespace}.dead.{_token(origin)}"

    def live_run(self, run_id: RunId) -> str:
        """Changes of one run, for whoever watches."""
        return f"{self.namespace}.live.{run_id}"

    @property
    def live_runs(self) -> str:
        """Changes of every run (a pattern to subscribe to)."""
        return f"{self.namespace}.live.*"

    def live_task(self, run_id: RunId, task_id: str) -> str:
        """Progress of one task, for whoever watches."""
        return f"{self.namespace}.live.{run_id}.{_token(task_id)}"

    def live_tasks(self, run_id: RunId) -> str:
        """Progress of every task of one run (a pattern to subscribe to)."""
        return f"{self.namespace}.live.{run_id}.*"

    def control(self, agent: str) -> str:
        """Where every replica of an agent listens for cancellation."""
        return f"{self.namespace}.control.{_token(agent)}"

    def ask(self, agent: str) -> str:
        """Where any one replica of an agent hears a live question."""
        return f"{self.namespace}.ask.{_token(agent)}"

    def query(self, name: str) -> str:
        """Where the projections answer the question called `name`."""
        return f"{self.namespace}.query.{_token(name)}"

    @property
    def wanted(self) -> str:
        """Where agents ask an orchestrator whether an attempt is still wanted."""
        return f"{self.namespace}.wanted"

    @property
    def recorded_hint(self) -> str:
        """Rings when events were recorded; wakes the followers, promises nothing."""
        return f"{self.namespace}.recorded"

    # consumers and the patterns they read

    def inbox_patterns(self, partition: int) -> tuple[str, str]:
        """What one partition of the inbox hears: requests and reports."""
        return (f"{self.namespace}.run.{partition}.>", f"{self.namespace}.report.{partition}.>")

    def task_pattern(self, agent: str) -> str:
        """Every attempt that an agent has to work on."""
        return f"{self.namespace}.task.{_token(agent)}.>"

    def task_pattern_of_run(self, agent: str, run_id: RunId) -> str:
        """Every attempt of one run that an agent has to work on."""
        return f"{self.namespace}.task.{_token(agent)}.{run_id}.>"

    def _upper(self, name: str) -> str:
        return f"{self.namespace.upper().replace('-', '_')}_{name}"


def _token(text: str) -> str:
    if not is_token(text):
        raise UsageError(f"{text!r} cannot be part of a subject: it must match [a-z0-9][a-z0-9_-]*")
    return text
