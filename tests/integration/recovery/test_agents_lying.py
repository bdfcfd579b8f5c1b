"""Agents that lie: what one says of what is not its own changes nothing, and stops nobody."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.codec import encode
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import (
    CompletedReport,
    ContextReport,
    FailedReport,
    Failure,
    HandoffReport,
    HeartbeatReport,
    QuestionReport,
    TaskReport,
)
from dalsegno_orchestrator.service import Orchestrator
from dalsegno_orchestrator.workflow.folding import attempts as folding
from dalsegno_orchestrator.workflow.rules import attempts as rules
from support.world import World, until

FORGED: Final = {"value": 666}


class Number(BaseModel):
    value: int


@dataclass
class Scene:
    """A run whose only task is at work with `honest`; `liar` could have had it."""

    world: World
    orchestrator: Orchestrator
    run_id: RunId
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def judged(self) -> int:
        pipeline = self.orchestrator.pipeline
        return pipeline.ignored + pipeline.refused

    async def says(self, report: TaskReport, *, on_subject_of: str) -> None:
        """Store a report, and wait until the orchestrator has made up its mind about it."""
        before = self.judged()
        subject = self.world.subjects.report(on_subject_of, report.run_id)
        await self.world.bus.store([Outgoing(subject, encode(report))])
        await until(lambda: self.judged() > before)


@asynccontextmanager
async def at_work(world: World) -> AsyncGenerator[Scene]:
    """At the end, the task ends with what its own agent says, as if nobody had lied."""
    gate = asyncio.Event()
    honest: Agent[None] = Agent("honest", deps=None)

    @honest.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        await gate.wait()
        return Number(value=number.value + 1)

    tasks = {"one": {"capability": "add", "input": "${ input }", "retry": {"max_attempts": 1}}}
    async with world.orchestrator() as orchestrator, world.worker(honest) as worker:
        await world.until_known("honest")
        await world.register("add", tasks, output="${ tasks.one }")
        accepted = await world.client.start("add", {"value": 1})
        await world.until_recorded(accepted.run_id, "task-assigned")
        scene = Scene(world, orchestrator, accepted.run_id, gate)
        kinds = world.kinds(accepted.run_id)
        yield scene
        if not gate.is_set():
            assert world.kinds(accepted.run_id) == kinds
            gate.set()
        ended = await world.result(accepted.run_id)
        assert (ended.status, ended.output) == ("completed", {"value": 2})
        assert worker.is_ready
        assert orchestrator.is_ready


def completed(run_id: RunId, **more: Any) -> CompletedReport:
    said: dict[str, Any] = {
        "task_id": "one",
        "attempt": 1,
        "agent": "honest",
        "replica": "r",
        "output": FORGED,
    }
    return CompletedReport(run_id=run_id, **(said | more))


KINDS: Final[dict[str, Callable[[dict[str, Any]], TaskReport]]] = {
    "completed": lambda who: CompletedReport(**who, output=FORGED),
    "failed": lambda who: FailedReport(
        **who, error=Failure(code="x", message="x"), retryable=False
    ),
    "handed on": lambda who: HandoffReport(**who, capability="add", input=FORGED),
    "shared": lambda who: ContextReport(**who, key="k", value=FORGED),
    "alive": lambda who: HeartbeatReport(**who),
    "asked": lambda who: QuestionReport(
        **who, question="q", capability="add", input=FORGED, timeout_seconds=1.0
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"agent": "liar"}, id="of an attempt that another agent has"),
        pytest.param({"attempt": 2}, id="of an attempt that is not yet"),
        pytest.param({"task_id": "two"}, id="of a task that is none"),
        pytest.param({"run_id": new_run_id()}, id="of a run that is none"),
    ],
)
async def test_a_report_of_what_is_not_its_own_changes_nothing(
    world: World, kind: str, lie: dict[str, Any]
) -> None:
    async with at_work(world) as scene:
        who = {"run_id": scene.run_id, "task_id": "one", "attempt": 1, "agent": "honest"}
        report = KINDS[kind](who | {"replica": "r"} | lie)
        await scene.says(report, on_subject_of=report.agent)


async def test_who_speaks_in_the_name_of_another_agent_is_refused(world: World) -> None:
    async with at_work(world) as scene:
        before = scene.orchestrator.pipeline.refused
        await scene.says(completed(scene.run_id), on_subject_of="liar")
        assert scene.orchestrator.pipeline.refused == before + 1


async def test_a_report_on_the_subject_of_another_run_is_refused(world: World) -> None:
    async with at_work(world) as scene:
        before = scene.orchestrator.pipeline.refused
        subject = world.subjects.report("honest", new_run_id())
        await world.bus.store([Outgoing(subject, encode(completed(scene.run_id)))])
        await until(lambda: scene.orchestrator.pipeline.refused == before + 1)


async def test_a_report_on_a_run_that_has_ended_changes_nothing(world: World) -> None:
    async with at_work(world) as scene:
        scene.gate.set()
        await world.result(scene.run_id)
        history = world.history(scene.run_id)
        for make in KINDS.values():
            who = {"run_id": scene.run_id, "task_id": "one", "attempt": 1, "agent": "honest"}
            await scene.says(make(who | {"replica": "r"}), on_subject_of="honest")
        assert world.history(scene.run_id) == history


async def test_a_thousand_lies_hold_up_nobody(world: World) -> None:
    async with at_work(world) as scene:
        before = scene.judged()
        lies = [
            Outgoing(world.subjects.report("liar", scene.run_id), encode(one))
            for number in range(2, 502)
            for one in (
                completed(scene.run_id, agent="liar", attempt=number),
                completed(scene.run_id, attempt=number),
            )
        ]
        await world.bus.store(lies)
        await until(lambda: scene.judged() == before + len(lies))


async def test_an_agent_that_says_it_works_for_ever_is_timed_out_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signs of life keep an attempt from falling silent, not from its timeout."""
    for module in (rules, folding):
        monkeypatch.setattr(module, "ATTEMPT_GRACE_SECONDS", 0.3)
    liar: Agent[None] = Agent("liar", deps=None)

    @liar.handles("add")
    async def add(number: Number, context: TaskContext[None]) -> Number:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if world.kinds(accepted.run_id).count("task-timed-out"):
                    raise

    task = {"capability": "add", "input": "${ input }", "timeout": "300ms"}
    task |= {"retry": {"max_attempts": 1}}
    async with world.orchestrator(), world.worker(liar):
        await world.until_known("liar")
        await world.register("add", {"one": task})
        accepted = await world.client.start("add", {"value": 1})
        ended = await world.result(accepted.run_id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert "300ms" in ended.error.message
