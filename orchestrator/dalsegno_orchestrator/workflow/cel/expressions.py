"""`${ … }` in a workflow: templates and conditions, compiled once, evaluated against a scope.

A string that is exactly one expression keeps the type of its value; in any other string values are
put into the text: text as it is, everything else as JSON. `$${` stands for `${` itself. Keys are
never evaluated. Pure: the same scope gives the same value, in the same order, in every process.

A scope has `input`, `tasks` (id to output), `context`, `run` (`id`, `workflow`, `version`); inside
a `foreach` also `item` and `index`, in a `repeat` `iteration` and `previous`, and where its end is
decided `iteration` and `output`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, cast

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.workflow.cel.formula import (
    ExpressionFailed,
    Formula,
    Scope,
    by_reference,
    holds_claim,
    is_claim,
    shown,
)
from dalsegno_orchestrator.workflow.cel.functions import kind_of
from dalsegno_orchestrator.workflow.cel.syntax import Path, SyntaxFault, end_of

__all__ = [
    "Condition",
    "ExpressionFailed",
    "ExpressionInvalid",
    "Reference",
    "Template",
    "TemplateFault",
]

_OPENING: Final = "${"
_ESCAPED: Final = "$${"

_Evaluate: TypeAlias = Callable[[Scope], Json]


class ExpressionInvalid(UsageError):
    """A text is no template; change it. `check` finds all such faults of a workflow at once."""

    code = "expression.invalid"


class Reference(NamedTuple):
    """A path that an expression reads, and where in the template the expression stands."""

    at: Path
    path: Path


class TemplateFault(NamedTuple):
    """What is wrong with one expression of a template."""

    path: Path
    """Where in the template: keys and indices."""
    message: str
    name: str = ""
    """The name that nobody knows, for a suggestion; empty if it is something else."""
    known: tuple[str, ...] = ()
    """The names that would be right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A JSON value with expressions in it."""

    references: tuple[Reference, ...]
    """Everything that its expressions read, in order of appearance."""
    tasks: frozenset[str]
    """The tasks whose outputs it reads."""
    roots: frozenset[str]
    """Which of `syntax.ROOTS` it reads."""
    is_constant: bool
    is_expression: bool
    """Whether it is a string that is exactly one expression."""
    _evaluate: _Evaluate

    @classmethod
    def compile(cls, value: Json) -> "Template":
        """Compile any JSON value.

        Raises:
            ExpressionInvalid: An expression in it cannot be read; the first one is named.
        """
        template, faults = cls.parse(value)
        for fault in faults:
            raise ExpressionInvalid(fault.message)
        return template

    @classmethod
    def parse(cls, value: Json) -> "tuple[Template, list[TemplateFault]]":
        """Compile any JSON value and list all that is wrong with it.

        A template with faults tells what it refers to, and must not be evaluated.
        """
        compiler = _Compiler()
        evaluate = compiler.value(value, ())
        paths = [reference.path for reference in compiler.references]
        template = cls(
            references=tuple(dict.fromkeys(compiler.references)),
            tasks=frozenset(
                path[1]
                for path in paths
                if path[0] == "tasks" and len(path) > 1 and isinstance(path[1], str)
            ),
            roots=frozenset(str(path[0]) for path in paths),
            is_constant=isinstance(evaluate, _Constant),
            is_expression=isinstance(evaluate, _Formula),
            _evaluate=evaluate,
        )
        return template, compiler.faults

    def evaluate(self, scope: Mapping[str, Any]) -> Json:
        """The value for this scope. It shares parts with the scope: never change it.

        Raises:
            ExpressionFailed: An expression has no value here; the message names it and says why.
        """
        return self._evaluate(scope)


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that is true or false."""

    template: Template
    text: str

    @classmethod
    def compile(cls, text: str) -> "Condition":
        """Compile a string that is exactly one expression.

        Raises:
            ExpressionInvalid: It is not one, or cannot be read.
        """
        text = text.strip()
        template = Template.compile(text)
        if not template.is_expression:
            raise ExpressionInvalid(f"a condition is one expression: write ${{ {text} }}")
        return cls(template, text)

    @property
    def tasks(self) -> frozenset[str]:
        return self.template.tasks

    @property
    def roots(self) -> frozenset[str]:
        return self.template.roots

    @property
    def is_constant(self) -> bool:
        return not self.template.references

    def evaluate(self, scope: Mapping[str, Any]) -> bool:
        """Whether it holds.

        Raises:
            ExpressionFailed: It has no value here, or one that is not true or false.
        """
        value = self.template.evaluate(scope)
        if isinstance(value, bool):
            return value
        raise ExpressionFailed(
            self.text[2:-1].strip(),
            f"it gives {kind_of(value)}, and a condition must be true or false; "
            "compare it with something",
        )


class _Constant:
    """A value without expressions."""

    def __init__(self, value: Json) -> None:
        self.value = value

    def __call__(self, scope: Scope) -> Json:
        return self.value


class _Formula:
    """A string that is exactly one expression."""

    def __init__(self, formula: Formula) -> None:
        self.formula = formula

    def __call__(self, scope: Scope) -> Json:
        return self.formula.evaluate(scope)


class _Text:
    """A string with expressions among other text."""

    def __init__(self, parts: Iterable[str | Formula]) -> None:
        self._parts = tuple(parts)

    def __call__(self, scope: Scope) -> str:
        return "".join(
            part if isinstance(part, str) else _as_text(part, part.evaluate(scope))
            for part in self._parts
        )


class _Compiler:
    """Builds the evaluator of one template; collects what it refers to and what is wrong."""

    def __init__(self) -> None:
        self.references: list[Reference] = []
        self.faults: list[TemplateFault] = []

    def value(self, value: Json, path: Path) -> _Evaluate:
        if isinstance(value, str):
            return self._string(value, path)
        if isinstance(value, Mapping):
            return self._object(cast("Mapping[str, Json]", value), path)
        if isinstance(value, (list, tuple)):
            return self._list(list(cast("Iterable[Json]", value)), path)
        return _Constant(value)

    def _object(self, value: Mapping[str, Json], path: Path) -> _Evaluate:
        for key in value:
            if _OPENING in key:
                self.faults.append(
                    TemplateFault((*path, key), "a key is never evaluated; use ${ } in values only")
                )
        fields = {key: self.value(field, (*path, key)) for key, field in value.items()}
        if all(isinstance(field, _Constant) for field in fields.values()):
            return _Constant({key: cast("_Constant", field).value for key, field in fields.items()})
        pairs = tuple(fields.items())
        return lambda scope: {key: field(scope) for key, field in pairs}

    def _list(self, value: list[Json], path: Path) -> _Evaluate:
        items = tuple(self.value(item, (*path, index)) for index, item in enumerate(value))
        if all(isinstance(item, _Constant) for item in items):
            return _Constant([cast("_Constant", item).value for item in items])
        return lambda scope: [item(scope) for item in items]

    def _string(self, text: str, path: Path) -> _Evaluate:
        if _OPENING not in text:
            return _Constant(text)
        parts: list[str | Formula] = []
        at = 0
        while at < len(text):
            if text.startswith(_ESCAPED, at):
                parts.append(_OPENING)
                at += len(_ESCAPED)
            elif text.startswith(_OPENING, at):
                end = end_of(text, at + len(_OPENING))
                if end is None:
                    message = (
                        f"{text[at : at + 24]!r} has no closing }}; for a plain ${{ write $${{"
                    )
                    self.faults.append(TemplateFault(path, message))
                    return _Constant(text)
                self._formula(text[at + len(_OPENING) : end], path, parts)
                at = end + 1
            else:
                found = text.find("$", at + 1)
                until = len(text) if found == -1 else found
                parts.append(text[at:until])
                at = until
        return _joined(parts)

    def _formula(self, source: str, path: Path, parts: list[str | Formula]) -> None:
        try:
            formula = Formula(source)
        except SyntaxFault as error:
            self.faults.append(TemplateFault(path, f"{shown(source)}: {error}"))
            parts.append("")
            return
        self.references.extend(Reference(path, read.path) for read in formula.reads)
        self.faults.extend(
            TemplateFault(path, f"{shown(formula.source)}: {message}", name, known)
            for message, name, known in formula.faults
        )
        parts.append(formula)


def _joined(parts: list[str | Formula]) -> _Evaluate:
    if len(parts) == 1 and isinstance(parts[0], Formula):
        return _Formula(parts[0])
    if all(isinstance(part, str) for part in parts):
        return _Constant("".join(cast("list[str]", parts)))
    return _Text(parts)


def _as_text(formula: Formula, value: Json) -> str:
    if isinstance(value, str):
        return value
    if is_claim(value):
        raise ExpressionFailed(formula.source, by_reference("it", value))
    if holds_claim(value):
        raise ExpressionFailed(
            formula.source,
            "it holds a value that travels by reference, which cannot be put into a text",
        )
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
