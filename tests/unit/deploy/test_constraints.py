"""constraints.txt: a version for everything that we depend on, and nothing about where from."""

import re
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

PROJECTS = ("", "bus", "agents", "orchestrator", "projections")
LINE = re.compile(r"([a-z0-9-]+)==[0-9a-z.+!]+( ; [\w '\"<>=!.()]+)?")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def constrained(root: Path) -> set[str]:
    names: set[str] = set()
    lines = (root / "constraints.txt").read_text().splitlines()
    for line in (line for line in lines if not line.startswith("#")):
        matched = LINE.fullmatch(line)
        assert matched, f"neither a hash nor an address belongs here: {line!r}"
        names.add(matched[1])
    return names


def wanted(root: Path) -> set[str]:
    names: set[str] = set()
    for project in PROJECTS:
        described: dict[str, Any] = tomllib.loads((root / project / "pyproject.toml").read_text())
        groups: list[list[str]] = [
            described["project"]["dependencies"],
            *described["project"].get("optional-dependencies", {}).values(),
            *described.get("dependency-groups", {}).values(),
        ]
        for entry in chain.from_iterable(groups):
            names.add(canonical(re.split(r"[^\w.-]", entry)[0]))
    return {name for name in names if not name.startswith("dalsegno-")}


def test_it_holds_versions_and_neither_hashes_nor_addresses(root: Path) -> None:
    assert constrained(root)


def test_every_dependency_of_every_project_is_in_it(root: Path) -> None:
    missing = wanted(root) - constrained(root)
    assert not missing, f"write it anew, as its first line says: {sorted(missing)} are not in it"
