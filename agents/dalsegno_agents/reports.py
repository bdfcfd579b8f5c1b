"""What a replica says of its attempts, as messages: who says it, under which id, small enough.

Makes messages and sends none.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypedDict

from dalsegno_agents.threads import Threads
from dalsegno_bus import codec
from dalsegno_bus.artifacts import PAYLOAD_BYTES_MAX, ArtifactStore, check_in, check_out, has_claim
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.ids import ReplicaId, RunId
from dalsegno_bus.messages import (
    CompletedReport,
    ContextReport,
    HandoffReport,
    HeartbeatReport,
    Json,
    QuestionReport,
    TaskReport,
)
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import traceparent

_LARGE: Final[dict[type[TaskReport], str]] = {
    CompletedReport: "output",
    ContextReport: "value",
    HandoffReport: "input",
    HeartbeatReport: "progress",
    QuestionReport: "input",
}
"""The field of each report that may be large."""


class Identity(TypedDict):
    """What every report names: the attempt, and who says so."""

    run_id: RunId
    task_id: str
    attempt: int
    agent: str
    replica: str


class Reports:
    """Makes the reports of one replica.

    Args:
        agent: Whose replica it is.
        replica: Who says so.
        subjects: The names of the wire.
        artifacts: Where values lie that are too large for a message.
        now: The time now (UTC).
        threads: Where the artifact store is read and written.
    """

    def __init__(
        self,
        agent: str,
        replica: ReplicaId,
        *,
        subjects: Subjects,
        artifacts: ArtifactStore,
        now: Callable[[], datetime],
        threads: Threads,
    ) -> None:
        self._agent = agent
        self._replica = replica
        self._subjects = subjects
        self._artifacts = artifacts
        self._now = now
        self._threads = threads
        self.source = f"agent/{agent}/{replica}"

    def identity(self, run_id: RunId, task_id: str, attempt: int) -> Identity:
        """How reports on this attempt begin."""
        return Identity(
            run_id=run_id,
            task_id=task_id,
            attempt=attempt,
            agent=self._agent,
            replica=self._replica,
        )

    def outgoing(self, report: TaskReport, *, suffix: str = "") -> Outgoing:
        """The report as a message; `suffix` tells its id from those of the attempt's others."""
        message_id = f"{report.run_id}.{report.task_id}.{report.attempt}.{self._replica}{suffix}"
        headers = codec.headers_of(
            report.kind,
            message_id=message_id,
            source=self.source,
            at=self._now(),
            traceparent=traceparent(report.run_id, report.task_id, report.attempt),
        )
        subject = self._subjects.report(self._agent, report.run_id)
        return Outgoing(subject, codec.encode(report), headers)

    async def fitting(self, report: TaskReport, *, suffix: str = "") -> Outgoing:
        """The same, with what is too large to travel checked in."""
        outgoing = self.outgoing(report, suffix=suffix)
        field = _LARGE.get(type(report))
        if field is None or len(outgoing.body) <= PAYLOAD_BYTES_MAX:
            return outgoing
        small = await self.small(getattr(report, field))
        return self.outgoing(report.model_copy(update={field: small}), suffix=suffix)

    async def small(self, value: Json) -> Json:
        """The same value, small enough to travel."""
        return await self._threads.run(check_in, value, self._artifacts)

    async def whole(self, value: Json) -> Json:
        """The same value, with all that travelled by reference back in its place.

        Raises:
            ArtifactMissing: Something is not there any more.
            UsageError: Somebody wrote what looks like a reference and is none.
        """
        if not has_claim(value):
            return value
        return await self._threads.run(check_out, value, self._artifacts)
