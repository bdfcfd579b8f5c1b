"""Workflows in YAML files: reads them, and says of every fault in which line it stands.

Reads YAML 1.2 as JSON has it: texts, numbers, true, false, null, lists, mappings with text as
keys. Dates stay text. Opens no file: the caller hands over its text.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition

NODES_MAX: Final = 100_000
"""How much a file may hold, aliases counted each time: a small file can unfold without end."""

_TAG: Final = "tag:yaml.org,2002:"

Place = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What a YAML file says, and where."""

    name: str
    """What people call it: its path, mostly."""
    document: dict[str, Json]
    places: Mapping[str, tuple[int, int]]
    """By dotted path (`tasks.analyze.timeout`), line and column of the key or item, from 1."""
    problems: tuple[Problem, ...]
    """What is wrong with it as YAML. With any, the document may be incomplete."""

    def located(self, problem: Problem) -> Problem:
        """The same problem with line and column: of its path, or of what encloses it."""
        path = problem.path
        while path and path not in self.places:
            path = path.rpartition(".")[0]
        line, column = self.places.get(path, (1, 1))
        return problem.model_copy(update={"line": line, "column": column})

    def describe(self, problem: Problem) -> str:
        """One line for people, as editors and terminals understand it: `flow.yaml:3:5: …`."""
        return f"{self.name}:{problem}"


def load_workflow(text: str, *, name: str) -> Loaded:
    """Read a workflow file. Never fails: what is wrong is in `problems`.

    Args:
        text: All of the file.
        name: How messages call it.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        root = cast("Node | None", yaml.compose(text))  # pyright: ignore[reportUnknownMemberType] - ruamel.yaml has no types
        reader = _Reader(cast("Any", yaml).constructor)
        document = None if root is None else reader.value(root, ())
    except YAMLError as error:
        return _unreadable(name, _syntax_problem(error))
    except RecursionError:
        problem = Problem(message="it is nested too deeply", line=1, column=1)
        return _unreadable(name, problem)
    if not isinstance(document, dict):
        problem = Problem(
            message="a workflow is a mapping (`key: value`)",
            line=1,
            column=1,
            suggestion="begin with `workflow: my-workflow`",
        )
        return _unreadable(name, problem)
    return Loaded(
        name=name,
        document=cast("dict[str, Json]", document),
        places=reader.places,
        problems=tuple(reader.problems),
    )


def check_text(text: str, name: str) -> tuple[WorkflowDefinition | None, list[Problem]]:
    """The definition in a YAML file, and all that is wrong with it, in the order of its lines.

    The definition is None exactly if there are problems; every problem has line and column.
    """
    loaded = load_workflow(text, name=name)
    if not loaded.document:
        return None, list(loaded.problems) or [
            Problem(
                message="the workflow is empty",
                line=1,
                column=1,
                suggestion="begin with `workflow: my-workflow`",
            )
        ]
    definition, found = check(loaded.document)
    problems = [*loaded.problems, *(loaded.located(problem) for problem in found)]
    problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
    return (None, problems) if problems else (definition, [])


@dataclass
class _Reader:
    """Turns nodes into plain values; notes where each stands and what is wrong."""

    constructor: Any
    """Of ruamel.yaml: knows how numbers are written."""
    places: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    problems: list[Problem] = field(default_factory=list[Problem])
    _nodes: int = 0
    _open: list[Node] = field(default_factory=list[Node])
    """The nodes around the one that is read: an alias to one of them would never end."""

    def value(self, node: Node, place: Place) -> Json:
        self._nodes += 1
        if node in self._open or self._nodes > NODES_MAX:
            if self._nodes <= NODES_MAX + 1:
                self._found(node, place, "this alias makes the file endless", "write it out")
            return None
        self._open.append(node)
        try:
            match node:
                case MappingNode():
                    return self._mapping(node, place)
                case SequenceNode():
                    return self._list(node, place)
                case _:
                    return self._scalar(cast("ScalarNode", node), place)
        finally:
            self._open.pop()

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Json]:
        fields: dict[str, Json] = {}
        first: dict[str, int] = {}
        for key_node, value_node in _pairs(node):
            key = str(_content(key_node))
            if not isinstance(key_node, ScalarNode):
                self._found(key_node, place, "a key must be text", "write it in quotes")
                continue
            if _tag(key_node) == "merge":
                self._found(key_node, place, "`<<` is not known in YAML 1.2", "write the keys out")
                continue
            line, _ = _position(key_node)
            if key in first:
                message = f"the key {key!r} stands in line {first[key]} already"
                self._found(key_node, (*place, key), message, "remove one of the two")
                continue
            first[key] = line
            self.places[_dotted((*place, key))] = _position(key_node)
            fields[key] = self.value(value_node, (*place, key))
        return fields

    def _list(self, node: SequenceNode, place: Place) -> list[Json]:
        items: list[Json] = []
        for index, item in enumerate(cast("list[Node]", _content(node))):
            self.places[_dotted((*place, index))] = _position(item)
            items.append(self.value(item, (*place, index)))
        return items

    def _scalar(self, node: ScalarNode, place: Place) -> Json:
        text, tag = str(_content(node)), _tag(node)
        match tag:
            case "str" | "timestamp" | "value":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() in {"true", "yes", "on"}
            case "int" | "float":
                return self._number(node, place)
            case _:
                self._found(node, place, f"the YAML tag {tag!r} is not known here", "remove it")
                return text

    def _number(self, node: ScalarNode, place: Place) -> Json:
        try:
            return self.constructor.construct_object(node)
        except ValueError:
            self._found(node, place, "this number cannot be read", "write it in quotes, as text")
            return 0

    def _found(self, node: Node, place: Place, message: str, suggestion: str) -> None:
        line, column = _position(node)
        self.problems.append(
            Problem(
                message=message,
                path=_dotted(place),
                line=line,
                column=column,
                suggestion=suggestion,
            )
        )


def _pairs(node: MappingNode) -> Iterator[tuple[Node, Node]]:
    yield from cast("list[tuple[Node, Node]]", _content(node))


def _content(node: Node) -> Any:
    return cast("Any", node).value  # ruamel.yaml has no types


def _tag(node: Node) -> str:
    return str(cast("Any", node).tag).removeprefix(_TAG)


def _position(node: Node) -> tuple[int, int]:
    mark = cast("Any", node).start_mark
    return mark.line + 1, mark.column + 1


def _dotted(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _unreadable(name: str, problem: Problem) -> Loaded:
    return Loaded(name=name, document={}, places={}, problems=(problem,))


def _syntax_problem(error: YAMLError) -> Problem:
    """A fault of YAML itself; the reader stops at the first."""
    if not isinstance(error, MarkedYAMLError):  # a character that no text file should hold
        text = re.sub(r"\s+", " ", str(error))
        return Problem(message=f"this is not YAML: {text}", line=1, column=1)
    marked = cast("Any", error)
    mark = marked.problem_mark or marked.context_mark
    context = f" {marked.context}" if marked.context else ""
    hint = None
    if "mapping values are not allowed" in str(marked.problem):
        hint = "check the indentation, and quote a text that holds `: `"
    elif "\\t" in str(marked.problem):
        hint = "indent with spaces"
    return Problem(
        message=f"this is not YAML: {marked.problem}{context}",
        line=mark.line + 1 if mark else 1,
        column=mark.column + 1 if mark else 1,
        suggestion=hint,
    )
