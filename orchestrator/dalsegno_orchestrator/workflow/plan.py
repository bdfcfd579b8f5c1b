"""A definition made ready to run: expressions compiled, dependencies worked out, once.

Pure and immutable: every run of a version shares one plan.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import escalation_id, undo_id
from dalsegno_bus.messages import Json, Problem
from dalsegno_orchestrator.workflow.cel.expressions import Condition, Template
from dalsegno_orchestrator.workflow.grammar.definition import TaskDefinition, WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import Compensation, Escalation
from dalsegno_orchestrator.workflow.grammar.schema import InputSchema

PLANS_KEPT_MAX: Final = 256
"""How many plans stay compiled; a run whose plan grows has one for each of its plan versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task of a plan, or what undoes it, or whom its waiting is told to."""

    id: str
    task: TaskDefinition
    needs: frozenset[str]
    """The steps to be done before it: `after`, `same_agent_as`, and all it refers to anywhere.

    A step needs what its fallback, its compensation and its escalations need as well, so that
    each of them can begin the moment it is wanted.
    """
    dependents: tuple[str, ...] = ()
    """The steps that need this one, in the order of the definition; never a fallback.

    Whoever refers to a step whose fallback ran gets the fallback's output.
    """
    when: Condition | None = None
    """Evaluated once, before `foreach` and `repeat`."""
    input: Template
    foreach: Template | None = None
    until: Condition | None = None
    """Ends a `repeat`."""
    quota: Mapping[str, Template] = field(default_factory=dict[str, Template])
    """By quota, what one attempt takes of it; sees what `input` sees."""
    payload: InputSchema | None = None
    """What the signal that it waits for may bring; None: it waits for none, or for anything."""
    undo: "Step | None" = None
    """What undoes it; its input sees what this one's does, and this one's output."""
    escalations: "tuple[Step, ...]" = ()
    """Whom to tell that the signal does not come, in the order of their times."""
    is_fallback: bool = False
    """It runs only if `fallback_of` failed for good; nothing else begins it."""
    fallback_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run of one version of a workflow follows."""

    definition: WorkflowDefinition
    digest: str
    steps: Mapping[str, Step]
    """In the order of the definition."""
    output: Template | None
    """None: a run's output is null."""
    fair_by: Template | None
    """Over `input`; None: all runs of the workflow are alike."""
    roots: tuple[str, ...]
    """The steps that need nothing, in the order of the definition; never a fallback."""
    schema: InputSchema

    def check_input(self, value: Json) -> list[Problem]:
        """Every fault of a run's input, each with its path; empty if it may start."""
        return self.schema.problems(value)

    def signal_problems(self, signal: str, payload: Json) -> list[Problem]:
        """Every fault of a signal's payload, each with its path; empty if it may be taken.

        Nothing is wrong with a signal that no task waits for.
        """
        for step in self.steps.values():  # all that wait for one signal have the same schema
            wait = step.task.wait
            if wait is not None and wait.signal == signal and step.payload is not None:
                return step.payload.problems(payload)
        return []


def compile_plan(definition: WorkflowDefinition) -> Plan:
    """The plan of a definition that `checks.check` found to be sound.

    The same definition again costs next to nothing: the newest plans are kept.

    Raises:
        UsageError: It is not sound: an expression cannot be read, or a task is not there.
    """
    return _compiled(_Source((definition.digest, *definition.tasks), definition))


@dataclass(frozen=True, slots=True)
class _Source:
    """A definition that can be looked up: a digest does not tell the order of the tasks."""

    key: tuple[str, ...]
    definition: WorkflowDefinition = field(compare=False)


@lru_cache(maxsize=PLANS_KEPT_MAX)
def _compiled(source: _Source) -> Plan:
    definition = source.definition
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
            until=draft.until,
            quota=draft.quota,
            payload=_payload(name, tasks[name]),
            undo=draft.undo,
            escalations=draft.escalations,
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
        fair_by=None
        if definition.fair_by is None
        else Template.compile(definition.fair_by.strip()),
        roots=tuple(name for name in tasks if not needs[name] and name not in owners),
        schema=InputSchema(definition.input),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """What a task says by itself."""

    when: Condition | None
    input: Template
    foreach: Template | None
    until: Condition | None
    quota: Mapping[str, Template]
    undo: Step | None
    escalations: tuple[Step, ...]
    needs: frozenset[str]

    @classmethod
    def of(cls, name: str, task: TaskDefinition) -> "_Draft":
        when = None if task.when is None else Condition.compile(task.when)
        listed = task.foreach.strip() if isinstance(task.foreach, str) else task.foreach
        foreach = None if listed is None else Template.compile(listed)
        until = None if task.repeat is None else Condition.compile(task.repeat.until)
        template = Template.compile(task.input)
        quota = {quota: Template.compile(amount) for quota, amount in task.quota.items()}
        undo = None if task.compensate is None else _undo(name, task.compensate)
        told = () if task.wait is None else task.wait.escalate
        escalations = tuple(_escalation(name, level, one) for level, one in enumerate(told))
        needs = template.tasks.union(
            task.after,
            () if task.same_agent_as is None else (task.same_agent_as,),
            *(part.tasks for part in (when, foreach, until) if part is not None),
            *(amount.tasks for amount in quota.values()),
            () if undo is None else undo.needs - {name},
            *(step.needs for step in escalations),
        )
        return cls(
            when=when,
            input=template,
            foreach=foreach,
            until=until,
            quota=MappingProxyType(quota),
            undo=undo,
            escalations=escalations,
            needs=needs,
        )


def _undo(name: str, undoing: Compensation) -> Step:
    template = Template.compile(undoing.input)
    task = TaskDefinition(
        capability=undoing.capability,
        input=undoing.input,
        requires=undoing.requires,
        retry=undoing.retry,
        timeout=undoing.timeout,
    )
    return Step(id=undo_id(name), task=task, needs=template.tasks, input=template)


def _escalation(name: str, level: int, escalation: Escalation) -> Step:
    template = Template.compile(escalation.input)
    task = TaskDefinition(capability=escalation.capability, input=escalation.input)
    return Step(id=escalation_id(name, level), task=task, needs=template.tasks, input=template)


def _payload(name: str, task: TaskDefinition) -> InputSchema | None:
    if task.wait is None or not task.wait.payload:
        return None
    return InputSchema(task.wait.payload, root="payload", written_at=f"tasks.{name}.wait.payload")


def _known(names: Iterable[str], tasks: Mapping[str, TaskDefinition]) -> None:
    for name in names:
        if name not in tasks:
            raise UsageError(f"there is no task {name!r}; `check` the workflow first")
