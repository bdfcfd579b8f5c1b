"""Every view there is, and what has to be true of them before they are followed or read."""

import logging
from collections.abc import Sequence
from typing import Final

from dalsegno_bus.errors import StoreError, Unavailable
from dalsegno_bus.logs import log
from dalsegno_projections.parking import this_code
from dalsegno_projections.reading import History
from dalsegno_projections.settings import ProjectionSettings
from dalsegno_projections.storage.rows import PARKED, Rows, Select
from dalsegno_projections.views.agents import AgentsView
from dalsegno_projections.views.audit import AUDIT, AuditView
from dalsegno_projections.views.limits import LimitsView
from dalsegno_projections.views.runs import RunsView
from dalsegno_projections.views.schedules import SchedulesView
from dalsegno_projections.views.table import View
from dalsegno_projections.views.tasks import TasksView
from dalsegno_projections.views.workflows import WorkflowsView

VIEWS: Final[Sequence[View]] = (
    RunsView(),
    TasksView(),
    AuditView(),
    AgentsView(),
    WorkflowsView(),
    SchedulesView(),
    LimitsView(),
)

_logger = logging.getLogger("dalsegno.projections")


def open_rows(settings: ProjectionSettings) -> Rows:
    """The tables of all views, as they are set up; created by `Rows.ensure_schema`.

    Raises:
        SettingsError: The URL is of no known kind.
    """
    return Rows(settings.views, namespace=settings.namespace, views=VIEWS)


def forget_other_history(history: History, rows: Rows) -> bool:
    """Drop all rows if they were folded from another event store than this one. Blocks.

    A store that was deleted and begun anew beside views that were not: told by positions beyond
    its end, or by the digest of the newest event in the audit trail.

    Raises:
        Unavailable: The store or the views' database cannot be reached.
    """
    if _fits(history, rows):
        return False
    log(_logger, "warning", "views_of_another_store", views=[view.name for view in VIEWS])
    for view in VIEWS:
        rows.reset(view.name)
    return True


def retry_parked(rows: Rows, *, by_other_code: bool = False) -> list[str]:
    """Drop views that have parked events, to be folded anew; tell their names. Blocks.

    Whole views, because only a fold from the first event gives the bytes that a rebuild gives.

    Args:
        rows: The views.
        by_other_code: Only what was parked by code other than this, which may know better.

    Raises:
        Unavailable: The views' database cannot be reached.
    """
    retried: list[str] = []
    for view in VIEWS:
        of_it = Select(equal={"view": view.name})
        parked = rows.count(PARKED, of_it)
        if by_other_code:
            equal = {**of_it.equal, "parked_by": this_code()}
            parked -= rows.count(PARKED, Select(equal=equal))
        if parked:
            rows.reset(view.name)
            retried.append(view.name)
    if retried:
        log(_logger, "info", "parked_events_retried", views=retried)
    return retried


def _fits(history: History, rows: Rows) -> bool:
    newest_position = history.newest_position()
    if any(rows.position(view.name) > newest_position for view in VIEWS):
        return False
    newest = rows.select(AUDIT, Select(order=("position",), descending=True, limit=1))
    if not newest:
        return True
    try:
        found = history.follow(after=newest[0].position - 1, limit=1)
    except Unavailable:
        raise
    except StoreError:  # unreadable here, though it was readable to whoever wrote the row
        return True
    return bool(found) and found[0].digest.hex() == newest[0].digest
