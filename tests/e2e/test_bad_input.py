"""Messages that nobody can use end as dead letters, and everything goes on."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import pytest_asyncio

from dalsegno.dead_letters import Filed, Wanted, find
from dalsegno.processes import python
from dalsegno.stack import Stack
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.errors import RunRejected, UsageError
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import Accepted, StartRun
from dalsegno_projections.asking import RUN_DETAIL, ask
from dalsegno_projections.questions import AskRunDetail, RunDetail
from support.commands import WAIT_SECONDS, stack_of

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

BENCH = "dalsegno.bench.agents:agent"
CHAIN = {
    "workflow": "chain",
    "input": {"type": "object", "required": ["text"], "properties": {"number": {"type": "number"}}},
    "tasks": {
        "first": {"capability": "bench.noop", "input": "${ input }"},
        "second": {"capability": "bench.noop", "input": "${ tasks.first }"},
    },
    "output": "${ tasks.second.number }",
}
BODIES = {
    "no JSON": b"\xff\x00 not json",
    "nothing": b"",
    "another shape": b'["start-run.v1"]',
    "an unknown kind": b'{"kind": "dance-run.v1"}',
    "a version that does not exist": b'{"kind": "start-run.v99", "run_id": "x"}',
    "an unknown field": b'{"kind": "start-run.v1", "workflow": "chain", "colour": "red"}',
    "deeply nested": b"[" * 5_000 + b"]" * 5_000,
    "oversized": orjson.dumps({"kind": "start-run.v1", "padding": "x" * 900_000}),
}
LATE_AGENT = """
from pydantic import BaseModel
from dalsegno_agents import Agent, TaskContext

class Words(BaseModel):
    text: str

agent = Agent("late", deps=None)

@agent.handles("late.work")
async def work(words: Words, context: TaskContext[None]) -> Words:
    return words
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack_of(tmp_path_factory.mktemp("stack"), BENCH) as running:
        await running.client.register(CHAIN)
        yield running


async def letters(stack: Stack, subject: str, count: int) -> list[Filed]:
    """The dead letters about one subject, as soon as there are so many."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            wanted = Wanted(subject=subject)
            about, _ = await find(stack.bus, stack.subjects, wanted, limit=None)
            if len(about) >= count:
                return about
            await asyncio.sleep(0.05)


async def parked(stack: Stack, run_id: RunId) -> RunDetail:
    """What a person sees of the run, as soon as its first task is parked."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            question = AskRunDetail(run_id=str(run_id))
            try:
                detail = await ask(stack.bus, stack.subjects, RUN_DETAIL, question)
            except UsageError:  # the views have not heard of it yet
                detail = None
            if detail is not None and detail.tasks and detail.tasks[0].status == "parked":
                return detail
            await asyncio.sleep(0.05)


async def all_goes_on(stack: Stack) -> None:
    """No process has ended, and a run completes."""
    stack.processes.check()
    accepted = await stack.client.start("chain", {"text": "after all that", "number": 1})
    ended = await stack.client.wait(accepted.run_id, timeout_seconds=WAIT_SECONDS)
    assert (ended.status, ended.output) == ("completed", 3)
    stack.processes.check()


def subjects_of_streams(stack: Stack) -> list[str]:
    """One subject of each kind that lands in a stream."""
    subjects, run_id = stack.subjects, new_run_id()
    return [
        subjects.request(run_id),
        subjects.report("bench", run_id),
        subjects.task("bench", run_id, "first", 1),
        f"{subjects.namespace}.run.0.no-run",
        f"{subjects.namespace}.report.0.bench.no-run",
        f"{subjects.namespace}.task.bench.no-run.first.none",
    ]


def with_path(folder: Path) -> str:
    """Where Python looks for modules, with one folder more."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


async def stored(stack: Stack, message: Outgoing) -> None:
    """Put a message into its stream, as soon as its subject is free."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await stack.bus.store([message]) == ["stored"]:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("place", range(6))
async def test_what_is_no_message_ends_as_a_dead_letter(stack: Stack, place: int) -> None:
    subject = subjects_of_streams(stack)[place]
    for body in BODIES.values():  # one after another: a task's subject holds one message
        await stored(stack, Outgoing(subject, body))
    found = await letters(stack, subject, len(BODIES))
    assert len(found) == len(BODIES), "each ends there once"
    assert all(one.letter and one.letter.reason for one in found)
    sizes = {one.letter.body_bytes for one in found if one.letter}
    assert sizes == {len(body) for body in BODIES.values()}
    assert all(
        len(base64.b64decode(one.letter.body_base64)) <= 64 * 1024 for one in found if one.letter
    )
    await all_goes_on(stack)


async def test_a_message_about_another_run_than_its_subject_ends_as_a_dead_letter(
    stack: Stack,
) -> None:
    subject = stack.subjects.request(new_run_id())
    request = StartRun(run_id=new_run_id(), workflow="chain", input={"text": "x", "number": 0})
    await stack.bus.store([Outgoing(subject, request.model_dump_json().encode())])
    [filed] = await letters(stack, subject, 1)
    assert filed.letter is not None
    assert str(request.run_id) in filed.letter.reason
    await all_goes_on(stack)


async def test_noise_on_subjects_that_nobody_keeps_changes_nothing(stack: Stack) -> None:
    subjects, run_id = stack.subjects, new_run_id()
    heard = [
        subjects.control("bench"),
        subjects.live_run(run_id),
        subjects.live_task(run_id, "first"),
        subjects.recorded_hint,
        *(subjects.query(name) for name in ("run", "runs", "history", "state", "lag", "trace")),
    ]
    for subject in heard:
        for body in BODIES.values():
            await stack.bus.tell(Outgoing(subject, body))
    await all_goes_on(stack)


async def test_cards_and_presences_that_are_none_are_passed_over(stack: Stack) -> None:
    bucket = stack.bus.bucket(stack.subjects.agents_bucket)
    for number, body in enumerate(BODIES.values()):
        for key in (f"card.odd-{number}", f"live.odd-{number}.r", f"what.odd-{number}"):
            await bucket.put(key, body or b" ")
    await all_goes_on(stack)


async def test_an_input_that_its_schema_refuses_is_rejected_with_the_path(stack: Stack) -> None:
    with pytest.raises(RunRejected) as refusal:
        await stack.client.start("chain", {"text": "x", "number": "three"})
    assert any("input.number" in reason for reason in refusal.value.reasons)
    with pytest.raises(RunRejected, match="text"):
        await stack.client.start("chain", {})


async def test_a_missing_agent_parks_the_task_visibly_until_one_joins(
    stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "late_agents.py").write_text(LATE_AGENT)
    await stack.client.register(
        {
            "workflow": "late",
            "tasks": {"only": {"capability": "late.work", "input": {"text": "at last"}}},
            "output": "${ tasks.only.text }",
        }
    )
    accepted: Accepted = await stack.client.start("late")
    detail = await parked(stack, accepted.run_id)
    assert detail.run.waiting_for == {"capability late.work": 1}
    assert "late.work" in (detail.tasks[0].parked_reason or "")
    await all_goes_on(stack)
    program = replace(
        stack.services["agent-agents"],
        name="agent-late",
        arguments=python("dalsegno_agents", "late_agents:agent"),
        environment={**stack.environment, "PYTHONPATH": with_path(tmp_path)},
    )
    child = stack.processes.start(program)
    ended = await stack.client.wait(accepted.run_id, timeout_seconds=WAIT_SECONDS)
    assert (ended.status, ended.output) == ("completed", "at last")
    await stack.processes.stop(child)
