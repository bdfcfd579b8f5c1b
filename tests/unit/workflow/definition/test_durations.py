import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus.errors import UsageError
from dalsegno_orchestrator.workflow.grammar.durations import (
    DURATION_SECONDS_MAX,
    format_duration,
    parse_duration,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10.0),
        ("2h", 7200.0),
        ("3d", 259_200.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("1d2h3m4s5ms", 93_784.005),
        (" 10s ", 10.0),
        ("0s", 0.0),
        (0, 0.0),
        (10, 10.0),
        (0.25, 0.25),
        ("3650d", DURATION_SECONDS_MAX),
    ],
)
def test_a_duration_is_text_with_units_or_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "fragment"),
    [
        ("10", 'no unit; write "10s"'),
        ("", "not a duration"),
        ("ten seconds", "not a duration"),
        ("10 s", "not a duration"),
        ("30s1m", "not a duration"),
        ("1m1m", "not a duration"),
        ("-1s", "not a duration"),
        ("1w", "not a duration"),
        ("${ input.t }", "not a duration"),
        (None, "not a duration"),
        (True, "not a duration"),
        ([1], "not a duration"),
        (-1, "out of range"),
        ("3651d", "out of range"),
        ("9" * 400 + "d", "out of range"),
        (math.inf, "out of range"),
        (math.nan, "out of range"),
        (10**400, "out of range"),
        (0.0001, "too fine"),
        ("0.5ms", "too fine"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_reason(written: object, fragment: str) -> None:
    with pytest.raises(UsageError, match=fragment):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (0.25, "250ms"), (90.0, "1m30s"), (86_400.0, "1d"), (93_784.005, "1d2h3m4s5ms")],
)
def test_a_duration_is_shown_in_its_shortest_form(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_what_is_no_duration_cannot_be_shown() -> None:
    with pytest.raises(UsageError, match="out of range"):
        format_duration(-1.0)


@given(st.integers(0, int(DURATION_SECONDS_MAX * 1000)))
def test_reading_what_was_shown_gives_the_same_duration(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == seconds
    assert parse_duration(seconds) == seconds


@given(st.text(alphabet="0123456789.dhms ", max_size=12))
def test_any_text_is_read_or_refused_and_never_breaks_the_reader(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except UsageError:
        return
    assert 0 <= seconds <= DURATION_SECONDS_MAX
