"""A definition made ready to run: expressions compiled, dependencies worked out, once.

Pure and immutable: every run of a version shares one plan.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.definition import TaskDefinition, WorkflowDefinition
from dalsegno_orchestrator.workflow.expressions import Condition, Template
from dalsegno_orchestrator.workflow.schema import InputSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task of a plan."""

    id: str
    task: TaskDefinition
    needs: frozenset[str]
    """The steps to be done before it: `after`, and what `input`, `when` and `foreach` refer to.

    A step needs what its fallback needs as well, so that the fallback can begin the moment the
    step has failed.
    """
    dependents: tuple[str, ...]
    """The steps that need this one, in the order of the definition; never a fallback.

    Whoever refers to a step whose fallback ran gets the fallback's output.
    """
    when: Condition | None
    """Evaluated once, before `foreach`."""
    input: Template
    foreach: Template | None
    is_fallback: bool
    """It runs only if `fallback_of` failed for good; nothing else begins it."""
    fallback_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run of one version of a workflow follows."""

    definition: WorkflowDefinition
    digest: str
    steps: Mapping[str, Step]
    """In the order of the definition."""
    output: Template | None
    """None: a run's output is null."""
    roots: tuple[str, ...]
    """The steps that need nothing, in the order of the definition; never a fallback."""
    schema: InputSchema

    def check_input(self, value: Json) -> list[Problem]:
        """Every fault of a run's input, each with its path; empty if it may start."""
        return self.schema.problems(value)


def compile_plan(definition: WorkflowDefinition) -> Plan:
    """The plan of a definition that `checks.check` found to be sound.

    Raises:
        UsageError: It is not sound: an expression cannot be read, or a task is not there.
    """
    tasks = definition.tasks
    owners = {task.fallback: name for name, task in tasks.items() if task.fallback is not None}
    _known(owners, tasks)
    drafts = {name: _Draft.of(name, task) for name, task in tasks.items()}
    needs = {name: draft.needs for name, draft in drafts.items()}
    for fallback, owner in owners.items():
        needs[owner] |= drafts[fallback].needs
    dependents: dict[str, list[str]] = {name: [] for name in tasks}
    for name in tasks:
        _known(needs[name], tasks)
        if name not in owners:
            for need in needs[name]:
                dependents[need].append(name)
    steps = {
        name: Step(
            id=name,
            task=tasks[name],
            needs=needs[name],
            dependents=tuple(dependents[name]),
            when=draft.when,
            input=draft.input,
            foreach=draft.foreach,
            is_fallback=name in owners,
            fallback_of=owners.get(name),
        )
        for name, draft in drafts.items()
    }
    return Plan(
        definition=definition,
        digest=definition.digest,
        steps=MappingProxyType(steps),
        output=None if definition.output is None else Template.compile(definition.output),
        roots=tuple(name for name in tasks if not needs[name] and name not in owners),
        schema=InputSchema(definition.input),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a task says by itself."""

    when: Condition | None
    input: Template
    foreach: Template | None
    needs: frozenset[str]

    @classmethod
    def of(cls, name: str, task: TaskDefinition) -> "_Draft":
        when = None if task.when is None else Condition.compile(task.when)
        listed = task.foreach.strip() if isinstance(task.foreach, str) else task.foreach
        foreach = None if listed is None else Template.compile(listed)
        template = Template.compile(task.input)
        needs = template.tasks.union(
            task.after,
            () if when is None else when.tasks,
            () if foreach is None else foreach.tasks,
        )
        return cls(when=when, input=template, foreach=foreach, needs=needs)


def _known(names: Iterable[str], tasks: Mapping[str, TaskDefinition]) -> None:
    for name in names:
        if name not in tasks:
            raise UsageError(f"there is no task {name!r}; `check` the workflow first")
