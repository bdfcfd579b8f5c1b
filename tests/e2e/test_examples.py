"""Every example workflow, once, on real processes: with the outcome and the facts of its story.

One stack for all, and all at the same time: NATS, an orchestrator, projections and three agents.
What an example does in days takes moments here: its story says which durations are made shorter
(`HASTE`), and what people do meanwhile (`live`).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dalsegno.stack import Stack, running
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.authoring import load_workflow
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import Event
from support.cast import EXAMPLES, example_names, module_of
from support.commands import quick_layout
from support.histories import history_of, kind_of, outline_of
from support.live import Live
from support.stories import Story

pytestmark = pytest.mark.slow

NAMES = example_names()
AGENTS = tuple(f"support.example_agents:{name}" for name in ("ada", "bob", "cyd"))
OF_THE_MOMENT = {"task-parked", "attempt-progressed"}
"""Whether an agent was there already, and how often somebody told his progress, is no promise."""


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Event] | BaseException]:
    """By example, the history of its run, or why there is none."""
    return asyncio.run(_all_lives(tmp_path_factory.mktemp("examples") / "stack", _stories()))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_on_real_processes_does_what_its_story_tells(
    name: str, lives: Mapping[str, list[Event] | BaseException]
) -> None:
    lived = lives[name]
    if isinstance(lived, BaseException):
        raise lived
    told = _story_of(name).events
    assert _outline(lived) == _outline(told), "\n".join(history_of(lived))


async def _all_lives(
    folder: Path, stories: Mapping[str, Story | BaseException]
) -> dict[str, list[Event] | BaseException]:
    layout = quick_layout(folder, *AGENTS)
    environment = {**layout.environment, "PYTHONPATH": str(EXAMPLES.parent)}
    found: dict[str, list[Event] | BaseException] = {}
    async with running(replace(layout, environment=environment), tell=lambda _: None) as stack:
        store = Store(environment["DALSEGNO_STORE_URL"], namespace=layout.namespace)
        try:
            for name in NAMES:
                await _register(name, stack)
            async with asyncio.TaskGroup() as group:
                for name, story in stories.items():
                    group.create_task(_kept(name, story, stack, store, found))
        finally:
            store.close()
    return found


def _stories() -> dict[str, Story | BaseException]:
    """All stories, played before anything runs: whoever speaks to a server must not be kept."""
    stories: dict[str, Story | BaseException] = {}
    for name in NAMES:
        try:
            stories[name] = _story_of(name)
        except Exception as error:  # noqa: BLE001 - one example's fault is told by its own test
            stories[name] = error
    return stories


async def _kept(
    name: str,
    story: Story | BaseException,
    stack: Stack,
    store: Store,
    found: dict[str, list[Event] | BaseException],
) -> None:
    if isinstance(story, BaseException):
        found[name] = story
        return
    try:
        found[name] = await _live(name, story, stack, store)
    except Exception as error:  # noqa: BLE001 - one example's fault is told by its own test
        found[name] = error


async def _live(name: str, story: Story, stack: Stack, store: Store) -> list[Event]:
    """Run an example as its story says."""
    workflow = story.plan.definition.workflow
    live = Live(workflow, stack.client, store, stack.bus, stack.subjects)
    told = module_of(name, "story")
    if hasattr(told, "live"):
        await told.live(live)
    else:
        await live.start(story.run.input)
    await live.until_it_ends_with(kind_of(story.events[-1]))
    return await live.events()


async def _register(name: str, stack: Stack) -> None:
    haste: Mapping[str, Json] = getattr(module_of(name, "story"), "HASTE", {})
    for path in sorted((EXAMPLES / name).glob("*.yaml")):
        document = load_workflow(path.read_text(), name=path.name).document
        if path.name == "workflow.yaml":
            for place, value in haste.items():
                _put(document, place.split("/"), value)
        await stack.client.register(document)


def _put(document: Any, place: list[str], value: Json) -> None:
    *way, last = place
    for key in way:
        document = document[int(key) if isinstance(document, list) else key]
    assert last in document, f"nothing is written at {'/'.join(place)}"
    document[last] = value


def _story_of(name: str) -> Story:
    story = Story(name)
    module_of(name, "story").play(story)
    return story


def _outline(events: list[Event] | list[Any]) -> dict[str, list[str]]:
    return outline_of(event for event in events if kind_of(event) not in OF_THE_MOMENT)
