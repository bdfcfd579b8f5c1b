"""Workflows in Python: a builder that makes the same model as a YAML file.

```python
flow = Workflow("report", version=1, input={"type": "object", "required": ["sources"]})
gather = flow.task(
    "gather", capability="finance.gather", foreach=ref("input.sources"), input={"source": item()}
)
flow.task("report", capability="finance.report", input={"tables": gather.output})
definition = flow.build(output=ref("tasks.report"))
```

Expressions are texts, as in YAML; `ref`, `expr`, `item`, `iteration` and the like only write them.
What has keys of its own (`retry`, `repeat`, `budget` …) is a mapping with the keys of the grammar,
or a model of `workflow.policies`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Json, Labels, Problem
from dalsegno_orchestrator.workflow.checking.checks import check
from dalsegno_orchestrator.workflow.grammar.definition import WorkflowDefinition
from dalsegno_orchestrator.workflow.grammar.policies import (
    Budget,
    Compensation,
    Dynamic,
    Escalation,
    Limits,
    OtherCapability,
    Repeat,
    Retry,
    Schedule,
    SharedKey,
    WaitBefore,
    Weights,
)
from dalsegno_orchestrator.workflow.grammar.terms import Frozen

Keys: TypeAlias = Mapping[str, Json]
"""What YAML would say at this place."""
Time: TypeAlias = str | float
"""A duration: `"1m30s"`, or seconds."""


def expr(source: str) -> str:
    """A CEL expression: `expr("size(tasks.a.rows) > 0")`."""
    return f"${{ {source} }}"


def ref(path: str) -> str:
    """The value at a path: `ref("input.sources")`, `ref("tasks.analyze.rows[0]")`."""
    return expr(path)


def item(path: str = "") -> str:
    """The item of a `foreach`, or a field of it: `item("name")`."""
    return expr(f"item.{path}" if path else "item")


def index() -> str:
    """The number of the item of a `foreach`, from 0."""
    return expr("index")


def iteration() -> str:
    """How often a repeated task has run before, from 0."""
    return expr("iteration")


def previous(path: str = "") -> str:
    """What a repeated task gave the last time (null at first), or a field of it."""
    return expr(f"previous.{path}" if path else "previous")


def literal(text: str) -> str:
    """A text that is taken as it is, even if it holds `${`."""
    return text.replace("${", "$${")


@dataclass(frozen=True)
class TaskHandle:
    """A task that was added: stands for its name, and for its output."""

    name: str

    @property
    def output(self) -> str:
        """A reference to all of its output."""
        return ref(f"tasks.{self.name}")

    def __getitem__(self, path: str) -> str:
        """A reference to a part of its output: `task["rows[0].id"]`."""
        return ref(f"tasks.{self.name}.{path}")


@dataclass(frozen=True)
class Fallback:
    """For `on_error`: the task that runs instead."""

    task: str | TaskHandle


OnError: TypeAlias = Literal["fail", "continue"] | Fallback
Rung: TypeAlias = Literal["other_agent"] | OtherCapability | WaitBefore | Keys
"""One step of `reroute`."""


class Workflow:
    """Collects tasks in order. Nothing is checked before `build`, which names every fault.

    Args:
        name: Name of the workflow.
        version: From 1; a registered version never changes.
        input: JSON Schema of a run's input.
        deadline: For a whole run.
        cancel_grace: How long attempts may take to stop.
        budget: What one run may cost.
        assignment: How much each part of an agent's score counts.
        limits: For all runs together.
        fair_by: An expression over `input`: runs with the same value share their turn.
        context: By key of the shared context, how it is written by several.
        schedule: When runs start by themselves.
        labels: Every run carries these.
        description: For people.
    """

    def __init__(
        self,
        name: str,
        *,
        version: int = 1,
        input: Mapping[str, Json] | None = None,  # noqa: A002 - the key of the grammar
        deadline: Time | None = None,
        cancel_grace: Time | None = None,
        budget: Budget | Keys | None = None,
        assignment: Weights | Keys | None = None,
        limits: Limits | Keys | None = None,
        fair_by: str | None = None,
        context: Mapping[str, SharedKey | Keys] | None = None,
        schedule: Schedule | Keys | None = None,
        labels: Labels | None = None,
        description: str | None = None,
    ) -> None:
        self._head = _given(
            workflow=name,
            version=version,
            input=input,
            deadline=deadline,
            cancel_grace=cancel_grace,
            budget=budget,
            assignment=assignment,
            limits=limits,
            fair_by=fair_by,
            context=context,
            schedule=schedule,
            labels=labels,
            description=description,
        )
        self._tasks: dict[str, dict[str, Json]] = {}

    def task(
        self,
        name: str,
        *,
        capability: str,
        input: Json = None,  # noqa: A002 - the key of the grammar
        after: Iterable[str | TaskHandle] = (),
        when: str | None = None,
        foreach: str | Sequence[Json] | None = None,
        max_parallel: int | None = None,
        repeat: Repeat | Keys | None = None,
        dynamic: Dynamic | Keys | None = None,
        requires: Labels | None = None,
        prefer: Labels | None = None,
        retry: Retry | Keys | None = None,
        timeout: Time | None = None,
        queue_timeout: Time | None = None,
        heartbeat_timeout: Time | None = None,
        agent: str | None = None,
        same_agent_as: str | TaskHandle | None = None,
        reroute: Sequence[Rung] | None = None,
        hedge_after: Time | None = None,
        priority: int | None = None,
        quota: Mapping[str, float | str] | None = None,
        compensate: Compensation | Keys | None = None,
        on_error: OnError | None = None,
    ) -> TaskHandle:
        """Add a task for an agent. The arguments are the keys of the grammar; None: not given.

        Raises:
            UsageError: There is a task of this name.
        """
        return self._add(
            name,
            capability=capability,
            input=input,
            after=_names(after),
            when=when,
            foreach=foreach,
            max_parallel=max_parallel,
            repeat=repeat,
            dynamic=dynamic,
            requires=requires,
            prefer=prefer,
            retry=retry,
            timeout=timeout,
            queue_timeout=queue_timeout,
            heartbeat_timeout=heartbeat_timeout,
            agent=agent,
            same_agent_as=_name(same_agent_as),
            reroute=reroute,
            hedge_after=hedge_after,
            priority=priority,
            quota=quota,
            compensate=compensate,
            on_error=_on_error(on_error),
        )

    def child(
        self,
        name: str,
        *,
        workflow: str,
        version: int | None = None,
        input: Json = None,  # noqa: A002 - the key of the grammar
        after: Iterable[str | TaskHandle] = (),
        when: str | None = None,
        foreach: str | Sequence[Json] | None = None,
        max_parallel: int | None = None,
        repeat: Repeat | Keys | None = None,
        retry: Retry | Keys | None = None,
        compensate: Compensation | Keys | None = None,
        on_error: OnError | None = None,
    ) -> TaskHandle:
        """Add a task that is a run of another workflow; its output is that run's.

        Args:
            name: Name of the task.
            workflow: Name of the other workflow.
            version: Of the other workflow; None: the newest when the task begins.
            input: A template: the input of the run.
            after: Tasks to wait for.
            when: A condition.
            foreach: A list, or an expression that gives one: a run for each item.
            max_parallel: How many of them at the same time.
            repeat: Until when a run follows on a run.
            retry: Whether another run follows on a failed one.
            compensate: What undoes it.
            on_error: What a failure for good means.

        Raises:
            UsageError: There is a task of this name.
        """
        return self._add(
            name,
            workflow=workflow,
            workflow_version=version,
            input=input,
            after=_names(after),
            when=when,
            foreach=foreach,
            max_parallel=max_parallel,
            repeat=repeat,
            retry=retry,
            compensate=compensate,
            on_error=_on_error(on_error),
        )

    def wait(
        self,
        name: str,
        *,
        signal: str,
        timeout: Time | None = None,
        payload: Keys | None = None,
        escalate: Sequence[Escalation | Keys] | None = None,
        after: Iterable[str | TaskHandle] = (),
        when: str | None = None,
        on_error: OnError | None = None,
    ) -> TaskHandle:
        """Add a task that waits for a signal to the run; its output is the signal's payload.

        Args:
            name: Name of the task.
            signal: What it waits for.
            timeout: For how long.
            payload: JSON Schema of what the signal may bring.
            escalate: Whom to tell that it does not come, and when.
            after: Tasks to wait for.
            when: A condition.
            on_error: What a failure for good means.

        Raises:
            UsageError: There is a task of this name.
        """
        return self._add(
            name,
            wait=_given(signal=signal, timeout=timeout, payload=payload, escalate=escalate),
            after=_names(after),
            when=when,
            on_error=_on_error(on_error),
        )

    def sleep(
        self,
        name: str,
        duration: Time,
        *,
        after: Iterable[str | TaskHandle] = (),
        when: str | None = None,
    ) -> TaskHandle:
        """Add a task that lets time pass; its output is null.

        Raises:
            UsageError: There is a task of this name.
        """
        return self._add(name, sleep=duration, after=_names(after), when=when)

    def document(self, *, output: Json = None) -> dict[str, Json]:
        """What a YAML file would say."""
        return {**self._head, "tasks": self._tasks, **_given(output=_plain(output))}

    def check(self, *, output: Json = None) -> list[Problem]:
        """Everything that is wrong so far; empty if `build` will succeed."""
        return check(self.document(output=output))[1]

    def build(self, *, output: Json = None) -> WorkflowDefinition:
        """The definition.

        Args:
            output: A template: the output of a run.

        Raises:
            UsageError: Something is wrong with it; every problem is listed.
        """
        definition, problems = check(self.document(output=output))
        if definition is None:
            listed = "\n".join(f"  {problem}" for problem in problems)
            raise UsageError(f"workflow {self._head['workflow']!r} has problems:\n{listed}")
        return definition

    def _add(self, name: str, **keys: Json) -> TaskHandle:
        if name in self._tasks:
            raise UsageError(f"there is a task {name!r} already; give this one another name")
        self._tasks[name] = _given(**keys)
        return TaskHandle(name)


def _given(**keys: Json) -> dict[str, Json]:
    """The keys that were given, as plain JSON values."""
    return {key: _plain(value) for key, value in keys.items() if value is not None}


def _plain(value: Json) -> Json:
    """The same value with dicts and lists in place of models, other mappings and sequences."""
    if isinstance(value, Frozen):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Json]", value)
        return {key: _plain(field) for key, field in fields.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in cast("Sequence[Any]", value)]
    return value


def _name(task: str | TaskHandle | None) -> str | None:
    return task.name if isinstance(task, TaskHandle) else task


def _names(tasks: Iterable[str | TaskHandle]) -> list[str] | None:
    return [task.name if isinstance(task, TaskHandle) else task for task in tasks] or None


def _on_error(on_error: OnError | None) -> Json:
    if not isinstance(on_error, Fallback):
        return on_error
    return {"fallback": _name(on_error.task)}
