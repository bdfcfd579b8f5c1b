"""What an orchestrator knows of agents: what they did before it started, and who is to leave."""

from pydantic import BaseModel

from dalsegno_agents import Agent, TaskContext
from dalsegno_bus.clock import utc_now
from dalsegno_bus.codec import encode
from dalsegno_bus.messages import Drained
from support.world import World, until


class Nothing(BaseModel):
    """No field."""


def doer(name: str) -> Agent[None]:
    agent: Agent[None] = Agent(name, deps=None, concurrency=4)

    @agent.handles("do")
    async def do(nothing: Nothing, context: TaskContext[None]) -> Nothing:
        del context
        return nothing

    return agent


TASKS = {"one": {"capability": "do"}}


async def test_a_new_orchestrator_recalls_how_agents_did(world: World) -> None:
    async with world.orchestrator(), world.worker(doer("a")):
        await world.register("one", TASKS)
        for _ in range(3):
            accepted = await world.client.start("one")
            await world.result(accepted.run_id)
    async with world.orchestrator() as orchestrator, world.worker(doer("a")):
        await until(lambda: orchestrator.is_ready and bool(orchestrator.directory.capable("do")))
        skill = orchestrator.directory.capable("do")[0].skills["do"]
        assert skill.completed == 3
        assert skill.p50_seconds > 0


async def test_a_drained_agent_gets_nothing_until_the_mark_is_taken_away(world: World) -> None:
    async with world.orchestrator() as orchestrator, world.worker(doer("a")):
        await world.register("one", TASKS)
        await until(lambda: bool(orchestrator.directory.capable("do")))
        bucket = world.bus.bucket(world.subjects.agents_bucket)
        mark = Drained(agent="a", requested_by="ada", at=utc_now())
        await bucket.put("drained.a", encode(mark))
        await until(lambda: orchestrator.directory.capable("do")[0].draining)
        accepted = await world.client.start("one")
        await world.until_recorded(accepted.run_id, "task-parked")
        await bucket.delete("drained.a")
        await world.until_recorded(accepted.run_id, "task-assigned")  # its replica may have left
