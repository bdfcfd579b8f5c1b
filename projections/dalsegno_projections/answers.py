"""What the projections answer: each question read from the views, or from the history itself.

Plain functions of rows and events: they block, and each call may have a thread of its own. Nothing
here changes anything. Every answer fits into one message: lists are cut by rows and by bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel

from dalsegno_bus.codec import encode
from dalsegno_bus.errors import StoreError, Unavailable, UsageError
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure, Json, RunChanged
from dalsegno_orchestrator.history import Recorded
from dalsegno_orchestrator.workflow.events import RunCompleted
from dalsegno_orchestrator.workflow.run import Run, Task
from dalsegno_projections import questions as q
from dalsegno_projections.finding import find_run
from dalsegno_projections.reading import History
from dalsegno_projections.replaying import Streams, definition_of, prefix_at, state_of
from dalsegno_projections.sentences import sentence_of
from dalsegno_projections.storage.rows import PARKED, Rows, Select
from dalsegno_projections.views.agents import AGENTS, AgentRow
from dalsegno_projections.views.audit import AUDIT
from dalsegno_projections.views.runs import RUNS, RunRow
from dalsegno_projections.views.tasks import TASKS, TaskRow
from dalsegno_projections.views.values import JSON_BYTES_MAX, instant, text
from dalsegno_projections.views.workflows import WORKFLOWS

PARKED_SHOWN_MAX: Final = 50
"""How many parked events an answer lists."""
LIST_BYTES_MAX: Final = q.ANSWER_BYTES_MAX - 4 * JSON_BYTES_MAX
"""How large a list in an answer may be: beside it there may be an input and an output."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class Store(History, Streams, Protocol):
    """The event store, as far as it is read."""


class Answers:
    """Reads the answers.

    Args:
        rows: The views.
        store: The event store.
        followed: Whose lag is told.
    """

    def __init__(self, rows: Rows, store: Store, *, followed: Sequence[str]) -> None:
        self._rows = rows
        self._store = store
        self._followed = followed

    def run(self, question: q.AskRun) -> RunChanged:
        """How a run stands.

        Raises:
            UsageError: There is no such run, or its output does not fit into an answer.
        """
        row = find_run(self._rows, self._store, question.run_id)
        error = None
        if row.error_code is not None:
            error = Failure(code=row.error_code, message=row.error_message or "")
        return RunChanged(
            run_id=RunId(UUID(row.run_id)),
            version=row.version,
            status=row.status,
            output=self._output(row),
            error=error,
        )

    def run_detail(self, question: q.AskRunDetail) -> q.RunDetail:
        """A run, with a page of its tasks.

        Raises:
            UsageError: There is no such run.
        """
        row = find_run(self._rows, self._store, question.run_id)
        select = Select(
            equal={"run_id": row.run_id},
            order=("began_version",),
            limit=question.limit + 1,
            offset=question.offset,
        )
        tasks, more = page(map(_task, self._rows.select(TASKS, select)), question.limit)
        return q.RunDetail(
            run=_run(row),
            input=_loaded(row.input),
            input_bytes=row.input_bytes,
            output=_loaded(row.output),
            output_bytes=row.output_bytes,
            tasks=tasks,
            more=more,
        )

    def runs(self, question: q.AskRuns) -> q.RunList:
        """A page of runs, the newest first."""
        equal = {"workflow": question.workflow, "status": question.status}
        fragments = [
            f"{_dumped(key)}:{_dumped(value)}" for key, value in sorted(question.labels.items())
        ]
        select = Select(
            equal={name: value for name, value in equal.items() if value is not None},
            contains={"labels": fragments},
            order=("started_at", "run_id"),
            descending=True,
            limit=question.limit + 1,
            offset=question.offset,
        )
        runs, more = page(map(_run, self._rows.select(RUNS, select)), question.limit)
        return q.RunList(runs=runs, total=self._rows.count(RUNS, select), more=more)

    def history(self, question: q.AskHistory) -> q.History:
        """A page of a run's events, read from the store.

        Raises:
            UsageError: There is no such run.
        """
        row = find_run(self._rows, self._store, question.run_id)
        until = question.after + question.limit + 1
        entries, more = page(self._entries(UUID(row.run_id), question.after, until), question.limit)
        return q.History(run_id=row.run_id, entries=entries, more=more)

    def state(self, question: q.AskState) -> q.StateThen:
        """A run as it stood then, played again.

        Raises:
            UsageError: There is no such run, or it was not there then.
            StoreError: Its history or its definition cannot be read.
        """
        row = find_run(self._rows, self._store, question.run_id)
        prefix = prefix_at(self._store.read(UUID(row.run_id)), question.at)
        return _then(state_of(self._store, prefix), prefix[-1])

    def audit(self, question: q.AskAudit) -> q.Audit:
        """A page of the audit trail.

        Raises:
            UsageError: There is no such run.
        """
        equal: dict[str, str | int] = {}
        if question.run_id is not None:
            equal["stream_id"] = find_run(self._rows, self._store, question.run_id).run_id
        if question.kind is not None:
            equal["kind"] = question.kind
        select = Select(
            equal=equal,
            above={"position": question.after},
            order=("position",),
            limit=question.limit + 1,
        )
        rows = self._rows.select(AUDIT, select)
        entries, more = page((_copy(q.AuditEntry, row) for row in rows), question.limit)
        return q.Audit(entries=entries, more=more)

    def agents(self, question: q.AskAgents) -> q.AgentList:
        """Every agent that was ever given a task."""
        select = Select(limit=question.limit + 1, offset=question.offset)
        agents, more = page(map(_agent, self._rows.select(AGENTS, select)), question.limit)
        return q.AgentList(agents=agents, more=more)

    def workflows(self, question: q.AskWorkflows) -> q.WorkflowList:
        """The registered versions; of one workflow, with a definition.

        Raises:
            UsageError: There is no such workflow, or no such version of it.
        """
        equal: dict[str, str | int] = {}
        definition = None
        if question.workflow is not None:
            equal["workflow"] = question.workflow
            definition = definition_of(self._store, question.workflow, question.version)
            if definition is None:
                version = "" if question.version is None else f" of version {question.version}"
                raise UsageError(f"no workflow {question.workflow!r}{version} is registered")
        select = Select(equal=equal, limit=question.limit + 1, offset=question.offset)
        rows = self._rows.select(WORKFLOWS, select)
        workflows, more = page((_copy(q.WorkflowSummary, row) for row in rows), question.limit)
        return q.WorkflowList(workflows=workflows, more=more, definition=definition)

    def lag(self, question: q.AskLag) -> q.Lag:
        """How far each view is behind, and what was parked."""
        newest = self._store.newest_position()
        views: list[q.ViewLag] = []
        for view in self._followed:
            position = self._rows.position(view)
            parked = self._rows.count(PARKED, Select(equal={"view": view}))
            behind = max(0, newest - position)
            views.append(q.ViewLag(view=view, position=position, events_max=behind, parked=parked))
        shown = self._rows.select(PARKED, Select(limit=PARKED_SHOWN_MAX))
        return q.Lag(
            newest_position=newest,
            views=views,
            parked=[_copy(q.ParkedEvent, row) for row in shown],
        )

    def _output(self, row: RunRow) -> Json:
        if row.output is not None or row.output_bytes == 0:
            return _loaded(row.output)
        if row.output_bytes > q.ANSWER_BYTES_MAX:
            raise UsageError(
                f"the output of run {row.run_id} has {row.output_bytes} bytes, more than an "
                "answer holds: let the workflow hand on an artifact"
            )
        newest = self._store.read(UUID(row.run_id), after=row.version - 1, until=row.version)
        event = newest[0].event if newest else None
        return event.output if isinstance(event, RunCompleted) else None

    def _entries(self, run_id: UUID, after: int, until: int) -> Iterable[q.HistoryEntry]:
        try:
            yield from map(_entry, self._store.read(run_id, after=after, until=until))
        except Unavailable:
            raise
        except StoreError:
            yield from self._one_by_one(run_id, after, until)

    def _one_by_one(self, run_id: UUID, after: int, until: int) -> Iterable[q.HistoryEntry]:
        """The same, where one of the events cannot be read: it is told, with the reason."""
        for version in range(after + 1, until + 1):
            try:
                found = self._store.read(run_id, after=version - 1, until=version)
            except Unavailable:
                raise
            except StoreError as error:
                yield _unreadable(version, str(error))
            else:
                if not found:
                    return
                yield _entry(found[0])


def page(items: Iterable[ModelT], limit: int) -> tuple[list[ModelT], bool]:
    """As many as are wanted and fit, and whether there are more. At least one, if there is one."""
    taken: list[ModelT] = []
    room_bytes = LIST_BYTES_MAX
    for item in items:
        room_bytes -= len(encode(item)) + 1
        if len(taken) == limit or (taken and room_bytes < 0):
            return taken, True
        taken.append(item)
    return taken, False


def _run(row: RunRow) -> q.RunSummary:
    return _copy(q.RunSummary, row, labels=orjson.loads(row.labels))


def _task(row: TaskRow) -> q.TaskSummary:
    candidates: Json = [] if row.candidates is None else _loaded(row.candidates)
    return _copy(q.TaskSummary, row, candidates=candidates, output=_loaded(row.output))


def _agent(row: AgentRow) -> q.AgentSummary:
    reports = row.completed + row.failed
    return _copy(
        q.AgentSummary,
        row,
        queue_seconds_mean=row.queue_seconds / reports if reports else None,
        work_seconds_mean=row.work_seconds / reports if reports else None,
    )


def _entry(recorded: Recorded) -> q.HistoryEntry:
    event: dict[str, Json] | None = recorded.event.model_dump(mode="json")
    if len(orjson.dumps(event)) > 4 * JSON_BYTES_MAX:
        event = None
    return q.HistoryEntry(
        version=recorded.version,
        at=instant(recorded.at),
        by=recorded.by,
        cause=recorded.cause,
        kind=recorded.event.kind,
        task_id=getattr(recorded.event, "task_id", None),
        digest=recorded.digest.hex(),
        sentence=sentence_of(recorded.event),
        event=event,
    )


def _unreadable(version: int, reason: str) -> q.HistoryEntry:
    return q.HistoryEntry(
        version=version,
        at="",
        by="",
        cause="",
        kind="",
        task_id=None,
        digest="",
        sentence=text(f"This event cannot be read: {reason}"),
        event=None,
    )


def _then(run: Run, newest: Recorded) -> q.StateThen:
    tasks, more = page(map(_task_then, run.tasks.values()), len(run.tasks))
    context, context_bytes = _small(run.context)
    output, output_bytes = _small(run.output)
    definition = run.plan.definition
    return q.StateThen(
        run_id=str(run.id),
        workflow=definition.workflow,
        workflow_version=definition.version,
        version=run.version,
        at=instant(newest.at),
        status=run.status,
        tasks=tasks,
        context=context or {},
        context_bytes=context_bytes,
        output=output,
        output_bytes=output_bytes,
        error_code=None if run.error is None else run.error.code,
        error_message=None if run.error is None else text(run.error.message),
        more=more,
    )


def _task_then(task: Task) -> q.TaskThen:
    output, output_bytes = _small(task.output)
    return q.TaskThen(
        task_id=task.id,
        step=task.step.id,
        index=task.index,
        status=task.status,
        attempt=task.attempt,
        agent=task.agent,
        failures=task.failures,
        changed_at=instant(task.changed_at),
        output=output,
        output_bytes=output_bytes,
        error_code=None if task.error is None else task.error.code,
        error_message=None if task.error is None else text(task.error.message),
    )


def _small(value: Json) -> tuple[Json, int]:
    """The value, or None where it is too large for an answer among others; and its size."""
    size = len(orjson.dumps(value))
    return (value if size <= JSON_BYTES_MAX else None), size


def _loaded(body: str | None) -> Json:
    return None if body is None else orjson.loads(body)


def _dumped(words: str) -> str:
    return orjson.dumps(words).decode()


def _copy(model: type[ModelT], row: Any, **more: Any) -> ModelT:
    """A model with the fields of a row; those that it does not have are left out."""
    return model.model_validate({**vars(row), **more})
