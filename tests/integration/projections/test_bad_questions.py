import asyncio

import pytest
from integration.projections.databases import Databases
from integration.projections.desk import Desk, record_played, service, working
from unit.projections.story import (
    run_of,
    started,
    told,
)

from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.errors import BusError, Unavailable, UsageError
from dalsegno_bus.memory import MemoryBus
from dalsegno_bus.nats import connect
from dalsegno_bus.subjects import Subjects
from dalsegno_projections import asking
from dalsegno_projections import questions as q
from dalsegno_projections.asking import ask
from dalsegno_projections.queries import QueryService
from support.scenario import RUN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"run_id": 7}',
        b'{"run_id": "0190"}',
        b'{"run_id": "../../etc/passwd"}',
        b'{"run_id": "0190a1b2", "limit": -1}',
        b'{"run_id": "--------"}',
        b"{" * 10_000,
        b"x" * 500_000,
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_a_question_that_makes_no_sense_is_refused_and_the_next_is_answered(
    plain: Desk, body: bytes
) -> None:
    for query in (asking.RUN, asking.RUN_DETAIL, asking.HISTORY, asking.STATE, asking.TRACE):
        refused = await plain.say(query, body)
        assert set(refused) == {"error"}
        assert refused["error"]["message"]
        assert len(refused["error"]["message"]) < 2_000
    assert await plain.ask(asking.LAG, q.AskLag())


async def test_a_fault_of_ours_is_a_refusal_and_the_service_goes_on(
    namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    faults = iter([LookupError("a fault of ours"), Unavailable("the store is away")])

    def answer(question: q.AskLag) -> q.Lag:
        for fault in faults:
            raise fault
        return q.Lag(newest_position=7, views=[], parked=[])

    bus, subjects = MemoryBus(), Subjects(namespace=namespace)
    queries = QueryService(bus, subjects, {asking.LAG: answer})
    async with working(queries):
        with pytest.raises(UsageError, match="a fault of ours"):
            await ask(bus, subjects, asking.LAG, q.AskLag())
        with pytest.raises(Unavailable, match="the store is away"):
            await ask(bus, subjects, asking.LAG, q.AskLag())
        assert (await ask(bus, subjects, asking.LAG, q.AskLag())).newest_position == 7
    assert "answer_failed" in caplog.text


async def test_an_answer_above_what_a_message_holds_is_a_refusal(namespace: str) -> None:
    def answer(question: q.AskTrace) -> q.TraceSent:
        return q.TraceSent(run_id=question.run_id, trace_id="x" * 2_000_000, spans=0)

    bus, subjects = MemoryBus(), Subjects(namespace=namespace)
    async with working(QueryService(bus, subjects, {asking.TRACE: answer})):
        with pytest.raises(UsageError, match="ask for less"):
            await ask(bus, subjects, asking.TRACE, q.AskTrace(run_id="deadbeef"))


async def test_many_questions_at_once_are_all_answered(plain: Desk) -> None:
    plain.record(*told(started(), stream=run_of("x")))
    question = q.AskRun(run_id=str(run_of("x")))
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(plain.ask(asking.RUN, question)) for _ in range(100)]
    assert {answer.result().version for answer in asked} == {1}


async def test_an_answer_of_an_unknown_shape_is_said_to_be(namespace: str) -> None:
    bus, subjects = MemoryBus(), Subjects(namespace=namespace)

    async def answer() -> None:
        async with bus.listen(subjects.query("lag")) as questions:
            ready.set()
            async for heard in questions:
                await heard.answer(b'{"colour": "red"}')

    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(answer())
        await ready.wait()
        with pytest.raises(BusError, match="not understood"):
            await ask(bus, subjects, asking.LAG, q.AskLag())
        answering.cancel()


async def test_without_a_service_nobody_answers(namespace: str) -> None:
    with pytest.raises(Unavailable):
        await ask(MemoryBus(), Subjects(namespace=namespace), asking.LAG, q.AskLag())


async def test_over_nats_one_of_two_services_answers(
    sqlite: Databases, nats_server: EmbeddedServer
) -> None:
    connections = [await connect(nats_server.url, name="test") for _ in range(3)]
    async with (
        service(sqlite, connections[0], connections[2], None) as desk,
        service(sqlite, connections[1], connections[2], None),
    ):
        record_played(desk)
        shown = await desk.ask(asking.RUN_DETAIL, q.AskRunDetail(run_id=str(RUN)))
        assert shown.run.status == "completed"
        with pytest.raises(UsageError, match="there is no run"):
            await desk.ask(asking.RUN, q.AskRun(run_id=str(run_of("nobody"))))
    for connection in connections:
        await connection.close()
