"""The view of workflows: every version that was ever registered, without its definition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from dalsegno_orchestrator.workflow import events as e
from dalsegno_projections.views.table import AnyTable, Change, Entry, Found, Key, Table
from dalsegno_projections.views.values import text


@dataclass(frozen=True, kw_only=True)
class WorkflowRow:
    """One version of one workflow."""

    workflow: str
    version: int
    digest: str
    registered_at: str
    registered_by: str
    steps: int


WORKFLOWS: Final = Table("workflows", WorkflowRow, ("workflow", "version"))


class WorkflowsView:
    """Writes down one row for each version."""

    name: str = "workflows"
    events_stand_alone: bool = True
    tables: Sequence[AnyTable] = (WORKFLOWS,)

    def touches(self, entry: Entry) -> Iterable[tuple[AnyTable, Key]]:
        return ()

    def apply(self, found: Found, entry: Entry) -> Iterable[Change]:
        event = entry.event
        if not isinstance(event, e.WorkflowRegistered):
            return ()
        tasks = event.definition.get("tasks")
        row = WorkflowRow(
            workflow=event.workflow,
            version=event.workflow_version,
            digest=event.definition_digest,
            registered_at=entry.at,
            registered_by=text(entry.recorded.by),
            steps=len(cast("dict[str, Any]", tasks)) if isinstance(tasks, dict) else 0,
        )
        return ((WORKFLOWS, (row.workflow, row.version), row),)
