"""What the projections answer: each question read from the views, or from the history itself.

Plain functions of rows and events: they block, and each call may have a thread of its own. Nothing
here changes anything. Every answer fits into one message: lists are cut by rows and by bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol
from uuid import UUID

from dalsegno_bus.clock import utc_now
from dalsegno_bus.errors import StoreError, Unavailable, UsageError
from dalsegno_bus.ids import RunId
from dalsegno_bus.messages import Failure, Json, RunChanged
from dalsegno_orchestrator.workflow.events import RunCompleted
from dalsegno_projections import questions as q
from dalsegno_projections.finding import find_run, first_digits
from dalsegno_projections.lagging import lags_of
from dalsegno_projections.previews import Permits, limit_use, rewind_preview
from dalsegno_projections.reading import History
from dalsegno_projections.replaying import Streams, definition_of, prefix_at, state_of
from dalsegno_projections.storage.rows import PARKED, Rows, Select
from dalsegno_projections.told import (
    agent_told,
    child_told,
    copied,
    dumped,
    entry_told,
    loaded,
    page,
    run_told,
    state_told,
    task_told,
    unreadable_told,
    waiters_told,
)
from dalsegno_projections.views.agents import AGENTS
from dalsegno_projections.views.audit import AUDIT
from dalsegno_projections.views.limits import LIMITS
from dalsegno_projections.views.runs import RUNS, RunRow
from dalsegno_projections.views.schedules import SCHEDULES
from dalsegno_projections.views.tasks import TASKS
from dalsegno_projections.views.workflows import WORKFLOWS

PARKED_SHOWN_MAX: Final = 50
"""How many parked events an answer lists."""
CHILDREN_SHOWN_MAX: Final = 100
"""How many runs of sub-workflows a run is shown with."""
WAITERS_MAX: Final = 1_000
"""How many runs that wait for limits are looked at."""


class Store(History, Streams, Permits, Protocol):
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
            order=("began_version", "task_id"),
            limit=question.limit + 1,
            offset=question.offset,
        )
        tasks, more = page(map(task_told, self._rows.select(TASKS, select)), question.limit)
        of_it = Select(
            equal={"parent_run": row.run_id},
            order=("started_at", "run_id"),
            limit=CHILDREN_SHOWN_MAX,
        )
        children = [child_told(child) for child in self._rows.select(RUNS, of_it)]
        is_all = len(children) < CHILDREN_SHOWN_MAX
        return q.RunDetail(
            run=run_told(row),
            input=loaded(row.input),
            input_bytes=row.input_bytes,
            output=loaded(row.output),
            output_bytes=row.output_bytes,
            tasks=tasks,
            more=more,
            children=children,
            children_total=len(children) if is_all else self._rows.count(RUNS, of_it),
        )

    def runs(self, question: q.AskRuns) -> q.RunList:
        """A page of runs, the newest first.

        Raises:
            UsageError: The parent is no id.
        """
        labels = [f"{dumped(key)}:{dumped(value)}" for key, value in question.labels.items()]
        waiting = question.waiting_for
        status, parent = question.status, question.parent
        statuses = (status,) if isinstance(status, str) else status
        select = Select(
            equal={} if question.workflow is None else {"workflow": question.workflow},
            among={} if statuses is None else {"status": statuses},
            prefix={} if parent is None else {"parent_run": first_digits(parent)},
            contains={
                "labels": sorted(labels),
                "waiting_for": [] if waiting is None else [f"{dumped(waiting)}:"],
            },
            order=("started_at", "run_id"),
            descending=True,
            limit=question.limit + 1,
            offset=question.offset,
        )
        runs, more = page(map(run_told, self._rows.select(RUNS, select)), question.limit)
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
        return state_told(state_of(self._store, prefix), prefix[-1])

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
        entries, more = page((copied(q.AuditEntry, row) for row in rows), question.limit)
        return q.Audit(entries=entries, more=more)

    def agents(self, question: q.AskAgents) -> q.AgentList:
        """Every agent that was ever given a task."""
        select = Select(limit=question.limit + 1, offset=question.offset)
        agents, more = page(map(agent_told, self._rows.select(AGENTS, select)), question.limit)
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
        workflows, more = page((copied(q.WorkflowSummary, row) for row in rows), question.limit)
        return q.WorkflowList(workflows=workflows, more=more, definition=definition)

    def schedules(self, question: q.AskSchedules) -> q.ScheduleList:
        """Every schedule that was ever set."""
        select = Select(
            equal={} if question.workflow is None else {"workflow": question.workflow},
            order=("workflow", "schedule_id"),
            limit=question.limit + 1,
            offset=question.offset,
        )
        rows = self._rows.select(SCHEDULES, select)
        schedules, more = page((copied(q.ScheduleSummary, row) for row in rows), question.limit)
        return q.ScheduleList(schedules=schedules, more=more)

    def limit_use(self, question: q.AskLimitUse) -> q.LimitUse:
        """What is taken of a limit now, and by whom."""
        return limit_use(self._rows, self._store, question, now=utc_now())

    def rewind_preview(self, question: q.AskRewindPreview) -> q.RewindPreview:
        """What going back to before a task would undo.

        Raises:
            UsageError: There is no such run, or the task has not begun in it.
        """
        return rewind_preview(self._rows, self._store, question)

    def limits(self, question: q.AskLimits) -> q.LimitList:
        """The limits that are set, and who waits for them, or for others."""
        select = Select(equal={"state": "set"}, limit=question.limit + 1, offset=question.offset)
        rows = self._rows.select(LIMITS, select)
        limits, more = page((copied(q.LimitSummary, row) for row in rows), question.limit)
        waiting = Select(
            contains={"waiting_for": ['"limit ']},
            order=("started_at", "run_id"),
            limit=WAITERS_MAX + 1,
        )
        runs = self._rows.select(RUNS, waiting)
        return q.LimitList(
            limits=limits,
            more=more,
            waiting=waiters_told(runs[:WAITERS_MAX]),
            waiting_more=len(runs) > WAITERS_MAX,
        )

    def lag(self, question: q.AskLag) -> q.Lag:
        """How far each view is behind, and what was parked."""
        shown = self._rows.select(PARKED, Select(limit=PARKED_SHOWN_MAX))
        return q.Lag(
            newest_position=self._store.newest_position(),
            views=lags_of(self._rows, self._store, self._followed, now=utc_now()),
            parked=[copied(q.ParkedEvent, row) for row in shown],
        )

    def parked(self, question: q.AskParked) -> q.ParkedList:
        """A page of the events that views could not take."""
        equal: dict[str, str | int] = {} if question.view is None else {"view": question.view}
        select = Select(equal=equal, limit=question.limit + 1, offset=question.offset)
        rows = self._rows.select(PARKED, select)
        parked, more = page((copied(q.ParkedEvent, row) for row in rows), question.limit)
        return q.ParkedList(parked=parked, total=self._rows.count(PARKED, select), more=more)

    def _output(self, row: RunRow) -> Json:
        if row.output is not None or row.output_bytes == 0:
            return loaded(row.output)
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
            yield from map(entry_told, self._store.read(run_id, after=after, until=until))
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
                yield unreadable_told(version, str(error))
            else:
                if not found:
                    return
                yield entry_told(found[0])
