"""JSON Schemas of inputs and payloads (draft 2020-12), compiled once. Fetches nothing."""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema_rs

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.cel.formula import is_claim
from dalsegno_orchestrator.workflow.grammar.shape import did_you_mean, dotted

_MESSAGE_CHARACTERS_MAX: Final = 300
_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")


class SchemaInvalid(UsageError):
    """This is no JSON Schema, or one that refers to another document; mend it."""

    code = "schema"

    def __init__(self, path: str, reason: str, suggestion: str | None = None) -> None:
        super().__init__(path, reason, suggestion)
        self.path = path
        self.reason = reason
        self.suggestion = suggestion

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class InputSchema:
    """Tells what is wrong with a run's input, or with a signal's payload.

    Args:
        schema: As it was written; an empty one takes anything.
        root: What messages call the value.
        written_at: Where the schema stands in the workflow, for what is wrong with itself.

    Raises:
        SchemaInvalid: `schema` is no JSON Schema; the error says where.
    """

    def __init__(
        self, schema: Mapping[str, Json], *, root: str = "input", written_at: str = "input"
    ) -> None:
        self._root = root
        self._validator: jsonschema_rs.Draft202012Validator | None = None
        if not schema:
            return  # anything goes
        try:
            self._validator = jsonschema_rs.Draft202012Validator(dict(schema), offline=True)
        except jsonschema_rs.ValidationError as error:
            raise _invalid(error, written_at) from None
        except (ValueError, jsonschema_rs.ReferencingError) as error:
            raise SchemaInvalid(written_at, _short(str(error))) from None

    def problems(self, value: Json) -> list[Problem]:
        """Every fault of `value`, each with its path (`input.sources.0`); empty if it fits.

        A value that travels by reference is not looked into.
        """
        if self._validator is None:
            return []
        try:
            problems = [
                Problem(
                    message=_short(error.message), path=dotted((self._root, *error.instance_path))
                )
                for error in self._validator.iter_errors(value)
                if not is_claim(_at(value, error.instance_path))
            ]
        except ValueError as error:
            return [Problem(message=f"this is not JSON: {_short(str(error))}", path=self._root)]
        return sorted(problems, key=lambda problem: (problem.path, problem.message))


def _invalid(error: jsonschema_rs.ValidationError, written_at: str) -> SchemaInvalid:
    place = (written_at, *error.instance_path)
    if place[-1] == "type" and isinstance(error.instance, str):
        suggestion = did_you_mean(error.instance, _TYPES) or f"use {', '.join(_TYPES)}"
        return SchemaInvalid(dotted(place), f"there is no type {error.instance!r}", suggestion)
    return SchemaInvalid(dotted(place), _short(error.message), "see json-schema.org, 2020-12")


def _at(value: Json, path: list[str | int]) -> Any:
    for key in path:
        value = value[key]
    return value


def _short(message: str) -> str:
    line = message.splitlines()[0] if message else "it does not fit"
    if len(line) <= _MESSAGE_CHARACTERS_MAX:
        return line
    half = _MESSAGE_CHARACTERS_MAX // 2  # the value comes first and what is wrong with it last
    return f"{line[:half]} … {line[-half:]}"
