"""How the trace of a run names those above and below it: attributes, and links to follow.

A run of a sub-workflow is a trace of its own. The attempt that started it links to the root of the
child's trace, and the child's root to that attempt's span; the attributes say the same in words.
"""

from typing import Final

from dalsegno_bus import telemetry as t
from dalsegno_orchestrator.workflow import events as e

CHILD_RUN: Final = "dalsegno.child.run.id"
CHILD_TRACE: Final = "dalsegno.child.trace.id"
CHILD_WORKFLOW: Final = "dalsegno.child.workflow"
PARENT_RUN: Final = "dalsegno.parent.run.id"
PARENT_TASK: Final = "dalsegno.parent.task.id"
PARENT_TRACE: Final = "dalsegno.parent.trace.id"
PARENT_SPAN: Final = "dalsegno.parent.span.id"
SCHEDULE: Final = "dalsegno.schedule.id"


def child_attributes(event: e.ChildStarted) -> dict[str, t.Attribute]:
    """Which run does the attempt, as its span says."""
    return {
        CHILD_RUN: str(event.run_id),
        CHILD_TRACE: event.run_id.hex,
        CHILD_WORKFLOW: event.workflow,
    }


def link_to_child(event: e.ChildStarted) -> t.SpanLink:
    """From an attempt's span to the root of the run that does it."""
    return t.SpanLink(
        trace_id=t.trace_id(event.run_id),
        span_id=t.run_span_id(event.run_id),
        attributes={t.LINK: "child", CHILD_RUN: str(event.run_id)},
    )


def parent_attributes(parent: e.Parent | None) -> dict[str, t.Attribute]:
    """What started the run, as its root says: a task of another one, or a schedule."""
    if parent is None:
        return {}
    if not parent.task_id:
        return {SCHEDULE: str(parent.run_id)}
    return {
        PARENT_RUN: str(parent.run_id),
        PARENT_TASK: parent.task_id,
        PARENT_TRACE: parent.run_id.hex,
        PARENT_SPAN: f"{_span_of(parent):016x}",
    }


def links_to_parent(parent: e.Parent | None) -> list[t.SpanLink]:
    """From a run's root to the attempt that started it; none if a client or a schedule did."""
    if parent is None or not parent.task_id:
        return []
    return [
        t.SpanLink(
            trace_id=t.trace_id(parent.run_id),
            span_id=_span_of(parent),
            attributes={
                t.LINK: "parent",
                PARENT_RUN: str(parent.run_id),
                PARENT_TASK: parent.task_id,
            },
        )
    ]


def _span_of(parent: e.Parent) -> int:
    return t.attempt_span_id(parent.run_id, parent.task_id, parent.attempt)
