from typing import Any

import pytest
from pydantic import ValidationError

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.workflow.grammar.definition import TaskDefinition, WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Fallback, Retry


def flow(**task: Any) -> dict[str, Any]:
    return {"workflow": "w", "tasks": {"a": {"capability": "x.y", **task}}}


def test_what_is_not_written_has_a_default() -> None:
    task = WorkflowDefinition.parse(flow()).tasks["a"]
    assert task.retry == Retry(max_attempts=3, delay=1.0, factor=2.0, max_delay=60.0, jitter=0.2)
    assert (task.input, task.after, task.on_error, task.fallback) == ({}, (), "fail", None)
    assert (task.timeout, task.queue_timeout) == (600.0, None)


def test_durations_become_seconds() -> None:
    task = WorkflowDefinition.parse(
        flow(timeout="2m", queue_timeout=5, retry={"delay": "250ms", "max_delay": "1h"})
    ).tasks["a"]
    assert (task.timeout, task.queue_timeout) == (120.0, 5.0)
    assert (task.retry.delay, task.retry.max_delay) == (0.25, 3600.0)


def test_a_fallback_is_named_in_on_error() -> None:
    task = WorkflowDefinition.parse(flow(on_error={"fallback": "b"})).tasks["a"]
    assert task.on_error == Fallback(fallback="b")
    assert task.fallback == "b"


def test_the_canonical_document_has_no_defaults_and_reads_back_the_same() -> None:
    document = flow(timeout="10m", on_error={"fallback": "b"}, retry={"max_attempts": 3}, after=[])
    definition = WorkflowDefinition.parse({**document, "version": 1, "description": ""})
    canonical = definition.to_json()
    assert canonical == {
        "workflow": "w",
        "tasks": {"a": {"capability": "x.y", "on_error": {"fallback": "b"}}},
    }
    again = WorkflowDefinition.parse(canonical)
    assert again == definition
    assert again.digest == definition.digest


def test_the_digest_names_the_content() -> None:
    plain = WorkflowDefinition.parse(flow(timeout="90s"))
    assert len(plain.digest) == 64
    assert plain.digest == WorkflowDefinition.parse(flow(timeout="1m30s")).digest
    assert plain.digest != WorkflowDefinition.parse(flow(timeout="91s")).digest
    assert plain.digest != WorkflowDefinition.parse({**flow(timeout="90s"), "version": 2}).digest


def test_the_digest_stays_what_it_was() -> None:
    """Runs are pinned to digests: a change of this value would orphan registered workflows."""
    definition = WorkflowDefinition.parse(flow(input={"é": [1, 1.5, None, "${ input }"]}))
    assert definition.digest == "de7b7a66e568eb573abebcadde38d58c012e04bd85f072a4e0ed0e49665def7b"


def test_a_definition_never_changes() -> None:
    definition = WorkflowDefinition.parse(flow())
    with pytest.raises(ValidationError, match="frozen"):
        definition.version = 2  # pyright: ignore[reportAttributeAccessIssue] - the point of the test


def test_what_does_not_fit_is_refused_with_every_reason() -> None:
    with pytest.raises(UsageError) as caught:
        WorkflowDefinition.parse({"workflow": "A b", "tasks": {"a": {"timeout": "soon"}, "b": 1}})
    message = str(caught.value)
    assert "workflow: 'A b' does not fit" in message
    assert "tasks.a.timeout: 'soon' is not a duration" in message
    assert "tasks.b: it must be a mapping" in message


def test_models_can_be_made_directly() -> None:
    task = TaskDefinition(capability="x.y", on_error=Fallback(fallback="b"))
    assert WorkflowDefinition(workflow="w", tasks={"a": task}).tasks["a"].fallback == "b"
