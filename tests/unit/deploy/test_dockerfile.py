"""The Dockerfile copies what exists, and each image holds what its service needs and no more."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

DRIVERS = {"psycopg", "psycopg2", "asyncpg", "eventsourcing", "sqlalchemy"}
IMAGES = {
    "orchestrator": ("dalsegno_orchestrator", {"bus", "orchestrator"}),
    "projections": ("dalsegno_projections", {"bus", "orchestrator", "projections"}),
    "agent": ("dalsegno_agents", {"bus", "agents"}),
    "finance": ("dalsegno_agents", {"bus", "agents"}),
    "cli": ("dalsegno", {"bus", "agents", "orchestrator", "projections", "."}),
}


class Stage:
    """One stage: what it stands on, and its instructions with continued lines joined."""

    def __init__(self, base: str, instructions: list[str]) -> None:
        self.base = base
        self.instructions = instructions

    def named(self, word: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.instructions if line.startswith(f"{word} ")]


@pytest.fixture
def stages(root: Path) -> dict[str, Stage]:
    text = (root / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: dict[str, Stage] = {}
    for line in lines:
        start = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if start:
            found[start[2]] = Stage(start[1], [])
        elif found:
            found[next(reversed(found))].instructions.append(line.strip())
    return found


def installed(stages: dict[str, Stage], image: str) -> set[str]:
    """The projects (as folders) that the build stage of an image installs, with extras."""
    [command] = [
        line for line in stages[f"build-{image}"].named("RUN") if line.startswith("pip install")
    ]
    words = [word.strip('"') for word in command.split()[2:]]
    return {word.removeprefix("./") for word in words}


def test_every_path_that_it_copies_exists(stages: dict[str, Stage], root: Path) -> None:
    for name, stage in stages.items():
        for line in stage.named("COPY"):
            *sources, _ = line.split()
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in stages, name
            else:
                missing = [source for source in sources if not (root / source).exists()]
                assert not missing, f"{name}: {missing}"


def test_what_it_copies_reaches_the_builder(stages: dict[str, Stage], root: Path) -> None:
    ignore = (root / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    for stage in stages.values():
        for line in stage.named("COPY"):
            if not line.startswith("--from="):
                assert set(line.split()[:-1]) <= let_in, line


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_installs_its_projects_and_starts_its_module(
    stages: dict[str, Stage], image: str
) -> None:
    module, projects = IMAGES[image]
    assert {re.sub(r"\[.*\]", "", project) for project in installed(stages, image)} == projects
    [entry] = stages[image].named("ENTRYPOINT")
    assert module in re.findall(r'"([^"]*)"', entry)


def test_the_agent_image_installs_the_sdk_and_the_wire_only(stages: dict[str, Stage]) -> None:
    assert installed(stages, "agent") == {"bus", "agents"}


def test_neither_the_sdk_nor_the_wire_depends_on_a_database_driver(root: Path) -> None:
    for project in ("bus", "agents"):
        names = {re.split(r"[^\w-]", entry)[0] for entry in requirements(root / project)}
        assert not names & DRIVERS


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_nobody_special_and_brings_no_sources(
    stages: dict[str, Stage], image: str
) -> None:
    stage = stages[image]
    assert stage.base == "base"
    assert stage.named("USER") == ["dalsegno"]
    assert stage.named("COPY") == [f"--from=build-{image} /opt/dalsegno /opt/dalsegno"]


def test_everything_is_installed_under_the_constraints(stages: dict[str, Stage]) -> None:
    build = stages["build"]
    assert any("PIP_CONSTRAINT=/src/constraints.txt" in line for line in build.named("ENV"))
    assert "/src" in build.named("WORKDIR")
    for image in IMAGES:
        assert stages[f"build-{image}"].base == "build"


def requirements(project: Path) -> list[str]:
    described: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text())
    dependencies: list[str] = described["project"]["dependencies"]
    return dependencies
