"""The workflows that may be started: every version ever registered, compiled once.

A workflow is a stream of its own in the event store; its newest event is its newest version.
Registering the same definition again is the same version; another one under the same version is
refused, because runs are pinned to it.
"""

from typing import Any

from dalsegno_bus.errors import StoreError
from dalsegno_bus.ids import WorkflowId, workflow_id
from dalsegno_bus.messages import Problem
from dalsegno_orchestrator.history import NO_DIGEST, Recorded
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.events import WorkflowRegistered
from dalsegno_orchestrator.workflow.plan import Plan, compile_plan


class _Shelf:
    """What is known of one workflow."""

    def __init__(self) -> None:
        self.versions: dict[int, WorkflowRegistered] = {}
        self.plans: dict[int, Plan] = {}
        self.stream_version = 0
        self.digest = NO_DIGEST
        self.fault = ""
        """Why nothing can be started or registered here."""

    def put(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, WorkflowRegistered):
            self.versions[recorded.event.workflow_version] = recorded.event
        else:
            self.fault = f"the history {recorded.stream_id} of this workflow is that of a run"
        self.stream_version = recorded.version
        self.digest = recorded.digest


class Registry:
    """Definitions by name and version. Blocks when it has to read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shelves: dict[str, _Shelf] = {}

    def refresh(self, name: str) -> None:
        """Read what was registered since the last look, here or by another process."""
        shelf = self._shelves.get(name) or _Shelf()
        try:
            for recorded in self._store.read(workflow_id(name), after=shelf.stream_version):
                shelf.put(recorded)
        except StoreError as error:  # one bad history must not stop the rest
            shelf.fault = str(error)
        if shelf.stream_version or shelf.fault:  # made-up names do not fill the memory
            self._shelves[name] = shelf

    def knows(self, name: str, version: int | None) -> bool:
        """Whether this can be told without reading: a version once seen stays."""
        shelf = self._shelves.get(name)
        return shelf is not None and version is not None and version in shelf.versions

    def plan(self, name: str, version: int | None) -> Plan | Problem:
        """The compiled definition (None: the newest), or in words why there is none."""
        shelf = self._shelves.get(name)
        if shelf is not None and shelf.fault:
            return _unusable(shelf)
        if shelf is None or not shelf.versions:
            return Problem(
                message=f"no workflow {name!r} is registered",
                path="workflow",
                suggestion="register it first: dalsegno workflow register FILE",
            )
        chosen = max(shelf.versions) if version is None else version
        if chosen not in shelf.versions:
            known = ", ".join(str(number) for number in sorted(shelf.versions))
            return Problem(
                message=f"workflow {name!r} has no version {chosen} (it has {known})",
                path="version",
            )
        if chosen not in shelf.plans:
            shelf.plans[chosen] = _compiled(shelf.versions[chosen])
        return shelf.plans[chosen]

    def decide(self, document: dict[str, Any]) -> "Registration | Plan | list[Problem]":
        """What follows from asking to register this: a new version, one that is there, faults."""
        definition, problems = check(document)
        if definition is None or problems:
            return problems
        self.refresh(definition.workflow)
        shelf = self._shelves.get(definition.workflow) or _Shelf()
        if shelf.fault:
            return [_unusable(shelf)]
        there = shelf.versions.get(definition.version)
        if there is not None:
            if there.definition_digest == definition.digest:
                plan = self.plan(definition.workflow, definition.version)
                assert isinstance(plan, Plan)
                return plan
            free = max(shelf.versions) + 1
            return [
                Problem(
                    message=f"version {definition.version} of {definition.workflow!r} is "
                    "registered with another content, and runs may be pinned to it",
                    path="version",
                    suggestion=f"use version {free}",
                )
            ]
        event = WorkflowRegistered(
            workflow=definition.workflow,
            workflow_version=definition.version,
            definition_digest=definition.digest,
            definition=definition.to_json(),
        )
        stream = workflow_id(definition.workflow)
        return Registration(event, stream, shelf.stream_version + 1, shelf.digest)


class Registration:
    """A new version on its way into the store: the event and its place in the stream."""

    def __init__(
        self, event: WorkflowRegistered, stream: WorkflowId, version: int, previous: bytes
    ) -> None:
        self.event = event
        self.stream = stream
        self.version = version
        self.previous = previous


def _unusable(shelf: _Shelf) -> Problem:
    return Problem(message=shelf.fault, path="workflow", suggestion="use another name")


def _compiled(event: WorkflowRegistered) -> Plan:
    definition, problems = check(event.definition)
    if definition is None:
        raise AssertionError(f"a registered definition no longer checks: {problems}")
    return compile_plan(definition)
