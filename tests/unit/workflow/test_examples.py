"""Every example workflow: sound, the same in YAML and in Python, and with the history it promises.

`tests/workflows/<example>/history.txt` is what a person reads and what this compares with, line by
line; `history_cancelled.txt` is that of the story `play_cancelled`. To write the files anew after a
change that is meant, and to look at the difference then:

    DALSEGNO_WRITE_HISTORIES=1 pytest tests/unit/workflow/test_examples.py
"""

import os
import re
from difflib import unified_diff
from pathlib import Path

import pytest

from dalsegno_orchestrator.authoring import check_text
from dalsegno_orchestrator.workflow.evolve import replay
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.run import Run
from support.cast import EXAMPLES, example_names, module_of
from support.histories import history_of
from support.stories import Story

EXAMPLE_NAMES = example_names()
FILES = [path.relative_to(EXAMPLES) for path in sorted(EXAMPLES.glob("*/*.yaml"))]
STORIES = [
    (name, told)
    for name in EXAMPLE_NAMES
    for told in dir(module_of(name, "story"))
    if re.fullmatch("play(_.*)?", told)
]
WRITE = "DALSEGNO_WRITE_HISTORIES"


def test_there_are_at_least_twenty_five_examples_each_with_everything_in_its_folder() -> None:
    assert len(EXAMPLE_NAMES) >= 25
    for name in EXAMPLE_NAMES:
        files = {path.name for path in (EXAMPLES / name).iterdir()}
        assert {"workflow.yaml", "workflow.py", "story.py", "history.txt", "agents.py"} <= files


def test_the_overview_names_every_example() -> None:
    named = re.findall(r"\[(\w+)\]\((\w+)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(folder for _, folder in named) == EXAMPLE_NAMES
    assert all(name == folder for name, folder in named)


@pytest.mark.parametrize("file", FILES, ids=str)
def test_an_example_is_sound_and_its_python_twin_is_the_same(file: os.PathLike[str]) -> None:
    path = EXAMPLES / file
    definition, problems = check_text(path.read_text(), str(file))
    assert problems == []
    assert definition is not None
    twin: WorkflowDefinition = module_of(path.parent.name, path.stem).build()
    assert twin == definition
    assert twin.digest == definition.digest
    assert list(twin.tasks) == list(definition.tasks)


@pytest.mark.parametrize(("name", "told"), STORIES)
def test_the_history_of_an_example_is_the_expected_one(name: str, told: str) -> None:
    story = _played(name, told)
    assert not story.run.is_open, "a story is told to its end"
    lines = history_of(story.told)
    expected = EXAMPLES / name / f"{told.replace('play', 'history')}.txt"
    if os.environ.get(WRITE):
        expected.write_text("\n".join(lines) + "\n")
    difference = list(unified_diff(expected.read_text().splitlines(), lines, lineterm=""))
    assert not difference, "\n".join(difference)


@pytest.mark.parametrize(("name", "told"), STORIES)
def test_the_history_of_an_example_is_all_it_takes_to_go_on(name: str, told: str) -> None:
    story = _played(name, told)
    again = replay(story.run.id, story.plan, story.history)
    assert (again.status, again.output) == (story.run.status, story.run.output)
    assert _standing(again) == _standing(story.run)


def test_every_expected_history_belongs_to_a_story() -> None:
    written = {path.relative_to(EXAMPLES) for path in EXAMPLES.glob("*/history*.txt")}
    assert written == {
        Path(name, f"{told.replace('play', 'history')}.txt") for name, told in STORIES
    }


def _played(name: str, told: str) -> Story:
    story = Story(name)
    getattr(module_of(name, "story"), told)(story)
    return story


def _standing(run: Run) -> dict[str, object]:
    return {
        task.id: (task.status, task.attempt, task.agent, task.output) for task in run.tasks.values()
    }
