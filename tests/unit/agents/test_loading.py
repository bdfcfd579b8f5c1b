"""Which agent a command line means."""

import sys
from pathlib import Path

import pytest

from dalsegno_agents.loading import load_agent
from dalsegno_bus.errors import UsageError

MODULE = """
from dalsegno_agents import Agent
first = Agent("first")
second = Agent("second")
number = 7
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_an_agent_is_found_by_module_and_name(folder: Path) -> None:
    (folder / "found_here.py").write_text(MODULE)

    assert load_agent("found_here:second").name == "second"


def test_an_agent_in_a_package_is_found(folder: Path) -> None:
    (folder / "outer_room").mkdir()
    (folder / "outer_room" / "inner.py").write_text(MODULE)

    assert load_agent("outer_room.inner:first").name == "first"


@pytest.mark.parametrize("name", ["", "module", "module:", ":agent"])
def test_a_name_without_both_parts_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="MODULE:AGENT"):
        load_agent(name)


@pytest.mark.parametrize("name", ["not_here_at_all:agent", "json.not_here:agent"])
def test_a_missing_module_is_named(name: str) -> None:
    with pytest.raises(UsageError, match="there is no module"):
        load_agent(name)


@pytest.mark.parametrize("name", [".relative:agent", "..:agent"])
def test_what_is_no_name_of_a_module_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="write it as in `import`"):
        load_agent(name)


def test_a_module_that_lacks_a_library_says_which(folder: Path) -> None:
    (folder / "lacks_library.py").write_text("import no_such_library")

    with pytest.raises(UsageError, match="needs 'no_such_library', which is not installed"):
        load_agent("lacks_library:agent")


def test_what_a_module_raises_passes_through(folder: Path) -> None:
    (folder / "breaks.py").write_text("raise ZeroDivisionError")

    with pytest.raises(ZeroDivisionError):
        load_agent("breaks:agent")


@pytest.mark.parametrize("attribute", ["third", "number"])
def test_what_is_no_agent_is_refused_and_the_agents_are_named(folder: Path, attribute: str) -> None:
    (folder / "two_agents.py").write_text(MODULE)

    with pytest.raises(UsageError, match=f"{attribute}.*its agents are 'first', 'second'"):
        load_agent(f"two_agents:{attribute}")


def test_a_module_without_agents_says_so() -> None:
    with pytest.raises(UsageError, match="there is no Agent in it"):
        load_agent("json:agent")
