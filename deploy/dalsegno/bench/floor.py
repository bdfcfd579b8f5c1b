"""The floor: a bare loop with the chain's very messages and rows, and no saga.

Two processes stand in for the orchestrator and the agent: `python -m dalsegno.bench.floor saga` and
`… agent`. They use the same bus, streams, store and row sizes, but know the answer beforehand: no
definition, no state of a run beyond a counter, no decision, no validation, no chain of digests.
What is left is what the messages and the commits cost; nothing on this stack can be faster.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import orjson

from dalsegno.bench.agents import CAPABILITY, PAYLOAD, TASKS, agent
from dalsegno_bus.bus import Bus, Delivery, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import MESSAGE_ID, REPLY_TO, REQUEST_ID, encode, headers_of
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import (
    Accepted,
    CompletedReport,
    RunChanged,
    TaskCommand,
)
from dalsegno_bus.nats import connect
from dalsegno_bus.settings import read_settings
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.telemetry import traceparent
from dalsegno_bus.topology import Topology, agent_consumer, inbox_consumer, topology_of
from dalsegno_orchestrator.history import Sealed, seal
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_orchestrator.storage.open_runs import OpenRun
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import (
    Candidate,
    RunCompleted,
    RunStarted,
    TaskAssigned,
    TaskCompleted,
)

BATCH_MAX: Final = 1_000
INLINE_ROWS_MAX: Final = 64
_RUN: Final = RunId(UUID("01a20716-54c9-7deb-89b1-3e8aaabe0986"))
_OUTPUT: Final = {"text": PAYLOAD, "number": 3}
_DIGEST: Final = bytes(16)


def _state(event: RunStarted | TaskAssigned | TaskCompleted | RunCompleted) -> bytes:
    sealed = seal(
        _RUN, 1, event, at=utc_now(), by="agent:bench/01234567", cause="0" * 24, previous=_DIGEST
    )
    return sealed.state


def _row(stream: UUID, version: int, kind: str, state: bytes) -> Sealed:
    return Sealed(stream_id=stream, version=version, kind=kind, state=state, digest=_DIGEST)


class _Rows:
    """Ready-made rows, of the size that the saga writes."""

    def __init__(self) -> None:
        candidates = (Candidate(agent="bench", score=0.75, open_attempts=11),)
        self.started = _state(
            RunStarted(
                workflow="bench-chain",
                workflow_version=1,
                definition_digest="0" * 64,
                input=_OUTPUT,
            )
        )
        self.assigned = _state(
            TaskAssigned(
                task_id="t1",
                attempt=1,
                agent="bench",
                capability=CAPABILITY,
                candidates=candidates,
                reason="only candidate",
            )
        )
        self.completed = _state(
            TaskCompleted(
                task_id="t1",
                attempt=1,
                agent="bench",
                replica="01234567",
                capability=CAPABILITY,
                output=_OUTPUT,
                queue_seconds=0.001234,
                work_seconds=0.000123,
            )
        )
        self.ended = _state(RunCompleted(output=_OUTPUT))


class _Saga:
    """Counts the tasks of each run, and nothing else."""

    def __init__(self, bus: Bus, store: Store, subjects: Subjects) -> None:
        self._bus = bus
        self._store = store
        self._subjects = subjects
        self._rows = _Rows()
        self._done: dict[str, int] = {}
        self._body = encode(
            TaskCommand(
                run_id=_RUN,
                task_id="t1",
                attempt=1,
                agent="bench",
                capability=CAPABILITY,
                workflow="bench-chain",
                input=_OUTPUT,
                timeout_seconds=3600.0,
            )
        )

    async def work(self) -> None:
        consumers = [inbox_consumer(self._subjects, p) for p in range(self._subjects.partitions)]
        async with self._bus.pull(consumers, ahead=BATCH_MAX) as pull:
            while True:
                deliveries = await pull.batch(limit=BATCH_MAX)
                await self._turn(deliveries)

    async def _turn(self, deliveries: Sequence[Delivery]) -> None:
        rows: list[Sealed] = []
        commands: list[Outgoing] = []
        news: list[Outgoing] = []
        opened: list[OpenRun] = []
        closed: list[UUID] = []
        for delivery in deliveries:
            run = delivery.subject.rpartition(".")[2]
            stream = UUID(run)
            if run not in self._done:
                self._done[run] = 0
                rows.append(_row(stream, 1, "run-started.v1", self._rows.started))
                news.append(self._accepted(delivery, stream))
                partition = self._subjects.partition(stream)
                opened.append(OpenRun(run_id=stream, partition=partition, due_at=utc_now()))
            elif b"start-run" in delivery.body:  # a client that asks again
                news.append(self._accepted(delivery, stream))
                continue
            else:
                task = int(orjson.loads(delivery.body)["task_id"][1:])
                self._done[run] = task + 1
                rows.append(_row(stream, 2 * task + 3, "task-completed.v1", self._rows.completed))
            task = self._done[run]
            if task < TASKS:
                rows.append(_row(stream, 2 * task + 2, "task-assigned.v1", self._rows.assigned))
                commands.append(self._command(run, stream, task))
            else:
                rows.append(_row(stream, 2 * TASKS + 2, "run-completed.v1", self._rows.ended))
                news.append(self._ended(stream))
                closed.append(stream)
        if len(rows) <= INLINE_ROWS_MAX:
            self._store.append(rows, opened=opened, closed=closed)
        else:
            await asyncio.to_thread(self._store.append, rows, opened=opened, closed=closed)
        await self._bus.store(commands)
        for message in news:
            await self._bus.tell(message)
        for delivery in deliveries:
            await delivery.ack()

    def _command(self, run: str, stream: UUID, task: int) -> Outgoing:
        task_id = f"t{task}"
        body = self._body.replace(str(_RUN).encode(), run.encode())
        body = body.replace(b'"t1"', f'"{task_id}"'.encode())
        headers = headers_of(
            "task-command.v1",
            message_id=f"{run}/{task_id}/1",
            source="orchestrator",
            at=utc_now(),
            traceparent=traceparent(RunId(stream), task_id, 1),
        )
        return Outgoing(self._subjects.task("bench", RunId(stream), task_id, 1), body, headers)

    def _accepted(self, delivery: Delivery, stream: UUID) -> Outgoing:
        headers = delivery.headers
        reply = Accepted(run_id=RunId(stream), workflow="bench-chain", version=1, status="running")
        answer = headers_of(reply.kind, message_id="0" * 24, source="orchestrator", at=utc_now())
        answer[REQUEST_ID] = headers.get(MESSAGE_ID, "")
        return Outgoing(headers.get(REPLY_TO, ""), encode(reply), answer)

    def _ended(self, stream: UUID) -> Outgoing:
        changed = RunChanged(run_id=RunId(stream), version=12, status="completed", output=_OUTPUT)
        return Outgoing(self._subjects.live_run(RunId(stream)), encode(changed))


async def _agent(bus: Bus, subjects: Subjects) -> None:
    """Report every attempt as done, and acknowledge it after that."""
    consumer = agent_consumer(subjects, "bench")
    await bus.provision(Topology(consumers=(consumer,)))
    report = encode(
        CompletedReport(
            run_id=_RUN,
            task_id="t1",
            attempt=1,
            agent="bench",
            replica="01234567",
            output=_OUTPUT,
            queue_seconds=0.001234,
            work_seconds=0.000123,
        )
    )
    async with bus.pull([consumer], ahead=agent.concurrency) as pull:
        while True:
            deliveries = await pull.batch(limit=BATCH_MAX)
            reports: list[Outgoing] = []
            for delivery in deliveries:
                orjson.loads(delivery.body)
                _, run, task_id, _ = delivery.subject.rsplit(".", 3)
                body = report.replace(str(_RUN).encode(), run.encode())
                body = body.replace(b'"t1"', f'"{task_id}"'.encode())
                headers = headers_of(
                    "task-completed.v1",
                    message_id="0" * 24,
                    source="agent:bench/01234567",
                    at=utc_now(),
                    traceparent=delivery.headers.get("traceparent"),
                )
                subject = subjects.report("bench", RunId(UUID(run)))
                reports.append(Outgoing(subject, body, headers))
            await bus.store(reports)
            for delivery in deliveries:
                await delivery.ack()


async def _main(role: str) -> None:
    settings = read_settings(OrchestratorSettings)
    bus = await connect(settings.nats_url, name=f"floor-{role}")
    await bus.provision(topology_of(settings.subjects))
    if role == "agent":
        work = _agent(bus, settings.subjects)
    else:
        store = Store(settings.store_url, namespace=settings.namespace)
        store.ensure_schema()
        work = _Saga(bus, store, settings.subjects).work()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await bus.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
