"""What a program can rely on when it speaks to the orchestrator."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from dalsegno_bus.artifacts import ArtifactStore, check_in, has_claim
from dalsegno_bus.bus import Heard, Outgoing
from dalsegno_bus.client import Client
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import MESSAGE_ID, REPLY_TO, encode
from dalsegno_bus.errors import RunRejected, Unavailable, UsageError
from dalsegno_bus.ids import RunId, new_run_id, run_id_of_key, workflow_id
from dalsegno_bus.memory import Faults, MemoryBroker, MemoryBus
from dalsegno_bus.messages import (
    Accepted,
    AttemptStarted,
    Failure,
    Problem,
    Progress,
    Rejected,
    RunChanged,
    StartRun,
)
from dalsegno_bus.topology import inbox, topology_of
from tests.unit.bus.conftest import SUBJECTS, accept, answering

SECONDS_MAX = 20.0
TINY_INBOX = replace(inbox(SUBJECTS), messages_max=1)


def starts(count: int) -> list[StartRun]:
    return [StartRun(run_id=new_run_id(), workflow="report") for _ in range(count)]


def reject(request: dict[str, Any]) -> Rejected:
    return Rejected(
        reasons=(
            Problem(message=f"there is no workflow {request['workflow']!r}"),
            Problem(message="bad", path="input.x", line=3, column=1, suggestion="good"),
        )
    )


# --- requests ---------------------------------------------------------------------------------


async def test_a_start_returns_once_it_is_accepted(broker: MemoryBroker, client: Client) -> None:
    async with answering(broker) as answerer:
        run_id = new_run_id()
        accepted = await client.start(
            "report", {"x": 1}, run_id=run_id, version=3, labels={"team": "a"}
        )
        assert accepted == Accepted(run_id=run_id, workflow="report", version=1, status="running")
        ((subject, headers, request),) = answerer.seen
        assert subject == SUBJECTS.request(run_id)
        assert headers[MESSAGE_ID]
        assert headers[REPLY_TO]
        assert headers["ce-source"] == "test"
        assert request == {
            "kind": "start-run.v1",
            "run_id": str(run_id),
            "workflow": "report",
            "version": 3,
            "input": {"x": 1},
            "labels": {"team": "a"},
            "parent": None,
            "requested_by": "test",
        }


async def test_the_same_key_is_the_same_run(broker: MemoryBroker, client: Client) -> None:
    async with answering(broker):
        first = await client.start("report", key="2024-10")
        second = await client.start("report", key="2024-10")
        assert first.run_id == second.run_id == run_id_of_key("ds", "report", "2024-10")


async def test_a_run_has_an_id_or_a_key(client: Client) -> None:
    with pytest.raises(UsageError, match="not both"):
        await client.start("report", run_id=new_run_id(), key="k")


async def test_a_refusal_lists_every_reason(broker: MemoryBroker, client: Client) -> None:
    async with answering(broker, reject):
        with pytest.raises(RunRejected) as rejected:
            await client.start("raport")
    assert rejected.value.reasons == (
        "there is no workflow 'raport'",
        "3:1: input.x: bad (good)",
    )


@pytest.mark.slow
async def test_a_request_is_sent_again_with_the_same_id_until_it_is_answered(
    broker: MemoryBroker, client: Client
) -> None:
    copies = 0

    def reply(request: dict[str, Any]) -> Accepted | None:
        nonlocal copies
        copies += 1
        return accept(request) if copies == 2 else None

    async with answering(broker, reply) as answerer:
        await client.start("report", {"x": 1})
        first, second = answerer.seen
        assert first == second


async def test_without_an_orchestrator_a_request_fails_in_time(client: Client) -> None:
    with pytest.raises(Unavailable, match=r"no orchestrator answered 1 requests.*'ds'"):
        await client.start("report", timeout_seconds=0.05)


async def test_an_overloaded_inbox_says_so_in_time(broker: MemoryBroker, client: Client) -> None:
    broker.stream(TINY_INBOX)
    with pytest.raises(Unavailable, match=r"could not be stored.*full"):
        await client.start_many(starts(2), timeout_seconds=0.05)


@pytest.mark.slow
async def test_an_overloaded_inbox_is_tried_until_there_is_room(
    broker: MemoryBroker, client: Client
) -> None:
    broker.stream(TINY_INBOX)
    async with answering(broker) as answerer:
        answers = await client.start_many(starts(4), timeout_seconds=SECONDS_MAX)
        assert all(isinstance(answer, Accepted) for answer in answers)
        assert len({request["run_id"] for _, _, request in answerer.seen}) == 4


async def test_many_starts_are_answered_in_their_order_refusals_among_them(
    broker: MemoryBroker, client: Client
) -> None:
    requests = starts(30)
    refused = {str(request.run_id) for request in requests[::3]}

    def reply(request: dict[str, Any]) -> Accepted | Rejected:
        return reject(request) if request["run_id"] in refused else accept(request)

    async with answering(broker, reply):
        answers = await client.start_many(requests)
    for request, answer in zip(requests, answers, strict=True):
        if str(request.run_id) in refused:
            assert isinstance(answer, RunRejected)
        else:
            assert isinstance(answer, Accepted)
            assert answer.run_id == request.run_id


async def test_starting_nothing_is_done_at_once(client: Client) -> None:
    assert await client.start_many([]) == []


async def test_concurrent_requests_share_one_inbox_and_leave_none_behind(
    broker: MemoryBroker, client: Client
) -> None:
    inboxes: set[str] = set()

    def reply(request: dict[str, Any]) -> Accepted:
        inboxes.update(one.pattern for one in broker.listeners)
        return accept(request)

    async with answering(broker, reply), asyncio.TaskGroup() as group:
        started = [group.create_task(client.start("report")) for _ in range(200)]
        await asyncio.wait(started)
    assert len(inboxes) == 1
    assert len({task.result().run_id for task in started}) == 200
    assert broker.listeners == []


async def test_whoever_gives_up_does_not_take_the_others_along(
    broker: MemoryBroker, client: Client
) -> None:
    asked = asyncio.Event()
    silent = [new_run_id() for _ in range(3)]

    def reply(request: dict[str, Any]) -> Accepted | None:
        if request["run_id"] in map(str, silent):
            asked.set()
            return None
        return accept(request)

    async with answering(broker, reply), asyncio.TaskGroup() as group:
        given_up = [group.create_task(client.start("report", run_id=one)) for one in silent]
        await asked.wait()  # by now one of these reads for all
        others = [group.create_task(client.start("report")) for _ in range(3)]
        for task in given_up:
            task.cancel()
        async with asyncio.timeout(SECONDS_MAX):
            await asyncio.wait(others)
    assert all(task.cancelled() for task in given_up)
    assert len({task.result().run_id for task in others}) == 3


async def test_other_requests_go_to_the_run_or_workflow_they_are_for(
    broker: MemoryBroker, client: Client
) -> None:
    run_id = new_run_id()
    async with answering(broker) as answerer:
        await client.signal(run_id, "approval", {"ok": True}, requested_by="ada")
        await client.cancel(run_id, "no longer needed")
        await client.register({"workflow": "report", "tasks": {}})
    subjects, _, requests = zip(*answerer.seen, strict=True)
    assert subjects == (
        SUBJECTS.request(run_id),
        SUBJECTS.request(run_id),
        SUBJECTS.request(workflow_id("report")),
    )
    assert [request["kind"] for request in requests] == [
        "signal-run.v1",
        "cancel-run.v1",
        "register-workflow.v1",
    ]
    assert (requests[0]["signal"], requests[0]["payload"]) == ("approval", {"ok": True})
    assert [request["requested_by"] for request in requests] == ["ada", "test", "test"]


@pytest.mark.parametrize("definition", [{}, {"workflow": ""}, {"workflow": 7}])
async def test_a_definition_needs_a_name(client: Client, definition: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="name"):
        await client.register(definition)


async def test_a_large_input_travels_by_reference(
    broker: MemoryBroker, bus: MemoryBus, tmp_path: Path
) -> None:
    store = ArtifactStore(str(tmp_path))
    client = Client(bus, SUBJECTS, source="test", artifacts=store)
    async with answering(broker) as answerer:
        await client.start("report", {"table": "x" * 2_000_000, "year": 2024})
        ((_, _, request),) = answerer.seen
        assert has_claim(request["input"])
        assert request["input"]["year"] == 2024


async def test_a_large_input_without_a_store_is_refused_with_advice(client: Client) -> None:
    with pytest.raises(UsageError, match="artifact store"):
        await client.start("report", "x" * 2_000_000)


@pytest.mark.slow
async def test_requests_get_through_an_unreliable_bus() -> None:
    broker = MemoryBroker(faults=Faults(7, lose=0.2, double=0.2, shuffle=0.2))
    bus = MemoryBus(broker)
    await bus.provision(topology_of(SUBJECTS))
    client = Client(bus, SUBJECTS, source="test")
    async with answering(broker), asyncio.timeout(2 * SECONDS_MAX):
        answers = await client.start_many(starts(50))
    assert all(isinstance(answer, Accepted) for answer in answers)


# --- following a run --------------------------------------------------------------------------


def changed(run_id: RunId, version: int, status: str, output: object = None) -> Outgoing:
    body = encode(RunChanged(run_id=run_id, version=version, status=status, output=output))
    return Outgoing(SUBJECTS.live_run(run_id), body)


async def until_heard(broker: MemoryBroker, subject: str) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while all(one.pattern != subject for one in broker.listeners):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_waiting_ends_as_soon_as_the_run_does(
    broker: MemoryBroker, bus: MemoryBus, client: Client
) -> None:
    run_id = new_run_id()
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        waiting = group.create_task(client.wait(run_id))
        await until_heard(broker, SUBJECTS.live_run(run_id))
        await bus.tell(Outgoing(SUBJECTS.live_run(run_id), b"nonsense"))
        await bus.tell(changed(run_id, 2, "running"))
        await bus.tell(changed(run_id, 5, "completed", {"total": 7}))
        end = await waiting
    assert (end.status, end.output) == ("completed", {"total": 7})


async def test_waiting_for_a_run_that_has_ended_is_done_at_once(
    bus: MemoryBus, client: Client
) -> None:
    run_id = new_run_id()
    end = RunChanged(
        run_id=run_id, version=5, status="failed", error=Failure(code="x", message="why")
    )
    async with asyncio.timeout(SECONDS_MAX), projections(bus, [end]) as asked:
        assert await client.wait(run_id) == end
    assert asked == [{"run_id": str(run_id)}]


@pytest.mark.slow
async def test_waiting_notices_an_end_that_nobody_told(bus: MemoryBus, client: Client) -> None:
    run_id = new_run_id()
    states = [
        RunChanged(run_id=run_id, version=version, status=status)
        for version, status in ((2, "running"), (5, "cancelled"))
    ]
    async with asyncio.timeout(SECONDS_MAX), projections(bus, states):
        assert (await client.wait(run_id)).status == "cancelled"


async def test_waiting_ends_in_time(client: Client) -> None:
    with pytest.raises(Unavailable, match="it goes on"):
        await client.wait(new_run_id(), timeout_seconds=0.05)


async def test_a_large_output_arrives_whole(bus: MemoryBus, tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    client = Client(bus, SUBJECTS, source="test", artifacts=store)
    run_id = new_run_id()
    output = {"table": "x" * 100_000}
    end = RunChanged(run_id=run_id, version=5, status="completed", output=check_in(output, store))
    async with asyncio.timeout(SECONDS_MAX), projections(bus, [end]):
        assert (await client.wait(run_id)).output == output


async def test_watching_tells_what_happens_to_its_end(
    broker: MemoryBroker, bus: MemoryBus, client: Client
) -> None:
    run_id = new_run_id()
    attempt: dict[str, Any] = {
        "run_id": run_id,
        "task_id": "gather",
        "attempt": 1,
        "agent": "analyst",
        "replica": "r1",
        "at": utc_now(),
    }
    told = (AttemptStarted(**attempt), Progress(**attempt, fraction=0.5))
    kinds: list[str] = []
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:

        async def watch() -> None:
            async with aclosing(client.watch(run_id)) as changes:
                kinds.extend([change.kind async for change in changes])

        group.create_task(watch())
        await until_heard(broker, SUBJECTS.live_tasks(run_id))
        await bus.tell(changed(run_id, 2, "running"))
        await bus.tell(changed(run_id, 2, "running"))
        for message in told:
            await bus.tell(Outgoing(SUBJECTS.live_task(run_id, "gather"), encode(message)))
        await bus.tell(changed(run_id, 5, "completed"))
    assert kinds == ["run-changed.v1", "attempt-started.v1", "progress.v1", "run-changed.v1"]
    assert broker.listeners == []


async def test_a_question_the_projections_refuse_is_a_usage_error(
    bus: MemoryBus, client: Client
) -> None:
    async with projections(bus, [{"error": {"code": "usage", "message": "there is no such run"}}]):
        with pytest.raises(UsageError, match=r"^there is no such run$"):
            await client.query("run", {"run_id": "x"})


async def test_a_question_without_projections_is_unavailable(client: Client) -> None:
    with pytest.raises(Unavailable):
        await client.query("run")


@asynccontextmanager
async def projections(
    bus: MemoryBus, answers: Sequence[RunChanged | dict[str, Any]]
) -> AsyncGenerator[list[Any], None]:
    """Answers the question `run` with each of `answers` in turn, the last one for ever."""
    asked: list[Any] = []

    async def work(questions: AsyncIterator[Heard]) -> None:
        async for question in questions:
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(orjson.loads(question.body))
            body = encode(answer) if isinstance(answer, RunChanged) else orjson.dumps(answer)
            await question.answer(body)

    async with (
        bus.listen(SUBJECTS.query("run"), queue="q") as questions,
        asyncio.TaskGroup() as group,
    ):
        working = group.create_task(work(questions))
        try:
            yield asked
        finally:
            working.cancel()
