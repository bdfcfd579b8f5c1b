"""What a program can tell runs, schedules and limits that are there."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dalsegno_bus.client import Client
from dalsegno_bus.codec import MESSAGE_ID
from dalsegno_bus.errors import RunRejected, Unavailable
from dalsegno_bus.ids import LIMITS, RunId, new_run_id, schedule_id
from dalsegno_bus.memory import MemoryBroker
from dalsegno_bus.messages import Accepted, CancelRun, PauseRun, Problem, Rejected
from tests.unit.bus.conftest import SUBJECTS, accept, answering

RUN: RunId = new_run_id()


ASKED: list[tuple[Callable[[Client], Awaitable[Accepted]], str, dict[str, Any]]] = [
    (
        lambda client: client.pause(RUN, "a look first"),
        "pause-run.v1",
        {"reason": "a look first"},
    ),
    (lambda client: client.resume(RUN), "resume-run.v1", {}),
    (lambda client: client.retry(RUN), "retry-run.v1", {"tasks": [], "reason": ""}),
    (
        lambda client: client.retry(RUN, ["a", "b"], "server is back"),
        "retry-run.v1",
        {"tasks": ["a", "b"], "reason": "server is back"},
    ),
    (
        lambda client: client.rewind(RUN, "analyze", "wrong rate"),
        "rewind-run.v1",
        {"task_id": "analyze", "reason": "wrong rate"},
    ),
    (
        lambda client: client.replan(
            RUN,
            add={"check": {"capability": "x"}},
            drop=["letter"],
            change={"report": {"capability": "y"}},
            plan_version=2,
            reason="new law",
        ),
        "replan-run.v1",
        {
            "add": {"check": {"capability": "x"}},
            "drop": ["letter"],
            "change": {"report": {"capability": "y"}},
            "plan_version": 2,
            "reason": "new law",
        },
    ),
    (lambda client: client.migrate(RUN, 3), "migrate-run.v1", {"version": 3}),
    (lambda client: client.migrate(RUN), "migrate-run.v1", {"version": None}),
]


@pytest.mark.parametrize(("ask", "kind", "fields"), ASKED)
async def test_a_request_to_a_run_goes_to_that_run_and_says_who_asks(
    broker: MemoryBroker,
    client: Client,
    ask: Callable[[Client], Awaitable[Accepted]],
    kind: str,
    fields: dict[str, Any],
) -> None:
    async with answering(broker) as answerer:
        assert (await ask(client)).run_id == RUN
        ((subject, _, request),) = answerer.seen
    assert subject == SUBJECTS.request(RUN)
    assert request == {"kind": kind, "run_id": str(RUN), "requested_by": "test", **fields}


async def test_a_change_of_a_plan_may_have_an_id_that_its_next_copy_has_too(
    broker: MemoryBroker, client: Client
) -> None:
    async with answering(broker) as answerer:
        for message_id in ("same", "same", None, None):
            await client.replan(RUN, drop=["letter"], message_id=message_id)
        ids = [headers[MESSAGE_ID] for _, headers, _ in answerer.seen]
    assert ids[:2] == ["same", "same"]
    assert len(set(ids)) == 3


async def test_limits_and_schedules_are_asked_on_streams_of_their_own(
    broker: MemoryBroker, client: Client
) -> None:
    async with answering(broker) as answerer:
        await client.set_limit("quota:tpm", rate=1000, rate_seconds=1.0, requested_by="ada")
        await client.set_limit("capability:finance.analyze", concurrency=5)
        await client.pause_schedule("weekly", "holidays", requested_by="ada")
        await client.resume_schedule("weekly")
    schedule = SUBJECTS.request(schedule_id("weekly"))
    limits = SUBJECTS.request(LIMITS)
    subjects, _, requests = zip(*answerer.seen, strict=True)
    assert subjects == (limits, limits, schedule, schedule)
    rate, concurrency, pause, resume = requests
    assert (rate["rate"], rate["rate_seconds"], rate["concurrency"]) == (1000.0, 1.0, None)
    assert (concurrency["concurrency"], concurrency["rate"]) == (5.0, None)
    assert (pause["workflow"], pause["reason"]) == ("weekly", "holidays")
    assert resume["kind"] == "resume-schedule.v1"
    assert [request["requested_by"] for request in requests] == ["ada", "test", "ada", "test"]


async def test_a_refusal_names_every_reason(broker: MemoryBroker, client: Client) -> None:
    reasons = (Problem(message="it has ended"), Problem(message="nor did it begin"))
    async with answering(broker, lambda _: Rejected(reasons=reasons)):
        with pytest.raises(RunRejected, match="it has ended; nor did it begin"):
            await client.rewind(RUN, "analyze")


async def test_many_runs_are_asked_at_once_and_answer_in_their_order(
    broker: MemoryBroker, client: Client
) -> None:
    run_ids = [new_run_id() for _ in range(20)]
    stubborn = {str(run_id) for run_id in run_ids[::4]}

    def reply(request: dict[str, Any]) -> Accepted | Rejected:
        if request["run_id"] in stubborn:
            return Rejected(reasons=(Problem(message="it has ended"),))
        return accept(request)

    requests = [
        PauseRun(run_id=run_id) if index % 2 else CancelRun(run_id=run_id)
        for index, run_id in enumerate(run_ids)
    ]
    async with answering(broker, reply):
        answers = await client.request_many(requests)
    for run_id, answer in zip(run_ids, answers, strict=True):
        if str(run_id) in stubborn:
            assert isinstance(answer, RunRejected)
        else:
            assert isinstance(answer, Accepted)
            assert answer.run_id == run_id


async def test_asking_nothing_is_done_at_once(client: Client) -> None:
    assert await client.request_many([]) == []


async def test_without_an_orchestrator_every_request_fails_in_time(client: Client) -> None:
    with pytest.raises(Unavailable, match="no orchestrator answered 1 requests"):
        await client.migrate(RUN, timeout_seconds=0.05)
    with pytest.raises(Unavailable, match="no orchestrator answered 1 requests"):
        await client.set_limit("quota:tpm", rate=5, timeout_seconds=0.05)
