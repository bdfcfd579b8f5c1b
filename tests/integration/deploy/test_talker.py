"""An agent that talks while it works, and is drained: watched and told by commands of our own."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from signal import SIGINT

import pytest

from support.commands import WAIT_SECONDS, Command, Commands, marked

pytestmark = pytest.mark.slow

TALKER = """
import asyncio
from pathlib import Path
from pydantic import BaseModel
from dalsegno_agents import Agent, TaskContext

class Wish(BaseModel):
    until: str

class Said(BaseModel):
    words: int

agent: Agent[None] = Agent("talker", deps=None)

@agent.handles("talk.on")
async def talk(wish: Wish, context: TaskContext[None]) -> Said:
    words = 0
    while not Path(wish.until).exists():
        context.stream(f"word {words}\\n")
        words += 1
        await asyncio.sleep(0.02)
    return Said(words=words)
"""
TALK = """
workflow: talk
input: {type: object, required: [until]}
tasks:
  talk: {capability: talk.on, input: {until: "${ input.until }"}}
output: "${ tasks.talk.words }"
"""


@pytest.fixture
async def commands(tmp_path: Path) -> AsyncIterator[Commands]:
    """Commands in a folder where a stack with the talker runs."""
    (tmp_path / "talker.py").write_text(TALKER)
    (tmp_path / "talk.yaml").write_text(TALK)
    commands = Commands(tmp_path)
    try:
        up = await commands.start("up", "--folder", "stack", "--agent", "talker:agent")
        await up.says("ready")
        yield commands
        up.process.send_signal(SIGINT)
        await up.ended()
    finally:
        for command in commands.started:
            for process in marked(command.mark):
                process.kill()


async def typed(commands: Commands, *arguments: str) -> str:
    """What a command that ends well writes to stdout."""
    code, out, said = await commands.run(*arguments, "--folder", "stack")
    assert code == 0, said
    return out


async def begun(commands: Commands, until: Path) -> str:
    """The id of a run that talks until this file is there."""
    wish = json.dumps({"until": str(until)})
    return (await typed(commands, "run", "talk.yaml", "--input", wish)).strip()


async def parked_reason(commands: Commands, run_id: str) -> str:
    """Why its task is parked; empty: it is not, as far as the views know."""
    shown = json.loads(await typed(commands, "runs", "show", run_id, "--json"))
    return "".join(task["parked_reason"] or "" for task in shown["tasks"])


async def lines(command: Command, count: int) -> list[str]:
    """The next lines of its stdout."""
    assert command.process.stdout is not None
    async with asyncio.timeout(WAIT_SECONDS):
        return [(await command.process.stdout.readline()).decode() for _ in range(count)]


async def test_output_is_printed_as_it_comes(commands: Commands, tmp_path: Path) -> None:
    run_id = await begun(commands, tmp_path / "enough")
    watch = await commands.start("runs", "watch", run_id, "--stream", "--folder", "stack")
    programs = await commands.start(
        "runs", "watch", run_id, "--stream", "--json", "--folder", "stack"
    )
    heading, first, second = await lines(watch, 3)
    assert heading == "[talk]\n"
    assert "word " in first
    assert second.startswith("word ")
    piece = json.loads((await lines(programs, 1))[0])
    assert (piece["task_id"], piece["piece"].split()[0]) == ("talk", "word")
    (tmp_path / "enough").touch()
    code, out = await watch.ended()
    assert code == 0
    assert all(line.startswith("word ") or "missed" in line for line in out.splitlines())
    assert any(line.endswith("completed") for line in watch.said)
    assert (await programs.ended())[0] == 0


async def test_ctrl_c_ends_the_watching_and_not_the_run(commands: Commands, tmp_path: Path) -> None:
    run_id = await begun(commands, tmp_path / "enough")
    watch = await commands.start("runs", "watch", run_id, "--stream", "--folder", "stack")
    await lines(watch, 2)
    watch.process.send_signal(SIGINT)
    assert (await watch.ended())[0] == 130
    shown = json.loads(await typed(commands, "runs", "show", run_id, "--json"))
    assert shown["run"]["status"] == "running"
    (tmp_path / "enough").touch()


async def test_a_drained_agent_finishes_leaves_and_gets_nothing_until_it_is_undone(
    commands: Commands, tmp_path: Path
) -> None:
    run_id = await begun(commands, tmp_path / "enough")
    watch = await commands.start("runs", "watch", run_id, "--stream", "--folder", "stack")
    await lines(watch, 1)  # so it is at work
    drain = await commands.start(
        *("agents", "drain", "talker", "--wait", "--reason", "a new version", "--as", "ada"),
        *("--folder", "stack"),
    )
    await drain.says("1 replica left")
    listed = json.loads(await typed(commands, "agents", "list", "--json"))
    [talker] = [one for one in listed if one["agent"] == "talker"]
    mark = talker["drained"]
    assert (mark["reason"], mark["requested_by"]) == ("a new version", "ada")
    assert "talker (drained)" in await typed(commands, "agents", "list")
    (tmp_path / "enough").touch()
    code, out = await drain.ended()
    assert (code, out) == (0, "talker is drained, none of its replicas is left\n")
    assert (await watch.ended())[0] == 0
    parked = await begun(commands, tmp_path / "enough")
    async with asyncio.timeout(WAIT_SECONDS):
        while not (reason := await parked_reason(commands, parked)):
            pass
    assert "drained" in reason
    assert "gets tasks again" in await typed(commands, "agents", "drain", "talker", "--undo")
    agent = await commands.start("agent", "talker:agent", "--folder", "stack")
    ended = await typed(commands, "runs", "watch", parked, "--json")
    assert json.loads(ended)["status"] == "completed"
    agent.process.send_signal(SIGINT)
    await agent.ended()
