"""What people are told of events that no view could take."""

from dalsegno.commands.views import PARKED_LINES_MAX, parked_lines
from dalsegno_projections.questions import ParkedEvent


def parked(view: str, position: int, reason: str = "it has\n  no end") -> ParkedEvent:
    return ParkedEvent(
        view=view, position=position, stream_id="", version=0, kind="task-failed.v1", reason=reason
    )


def test_an_event_is_told_once_on_one_line_with_all_views_that_lack_it() -> None:
    assert list(parked_lines([parked("runs", 7), parked("tasks", 7), parked("runs", 9)])) == [
        "runs, tasks could not take task-failed.v1 at 7: it has no end",
        "runs could not take task-failed.v1 at 9: it has no end",
    ]


def test_of_many_events_the_first_are_told() -> None:
    lines = list(parked_lines([parked("runs", number) for number in range(PARKED_LINES_MAX + 5)]))
    assert len(lines) == PARKED_LINES_MAX + 1
    assert lines[-1] == "and 5 more (--json has them)"
