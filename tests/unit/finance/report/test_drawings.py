"""Charts and text: labels that do not touch, axes that hold the values, lines that fit."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno_agents.gallery.finance.rendering.axes import scale_of, spread, ticks
from dalsegno_agents.gallery.finance.rendering.drawing import Box, Drawing, Label, Path, as_svg
from dalsegno_agents.gallery.finance.rendering.plots import Bar, Line, bars, columns, lines
from dalsegno_agents.gallery.finance.rendering.typeface import Typeface, data_uri

amounts = st.floats(-1e12, 1e12, allow_nan=False, allow_infinity=False)
each = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def face() -> Typeface:
    return Typeface()


@given(amounts, amounts)
@each
def test_ticks_reach_around_the_values(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    marks = ticks(low, high)
    slack = (marks[-1] - marks[0]) * 1e-6
    assert 2 <= len(marks) <= 8
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack


@given(st.lists(st.floats(40, 190), min_size=1, max_size=6))
@each
def test_labels_are_moved_apart(places: list[float]) -> None:
    moved = spread(places, 34, 196)
    assert all(later - earlier > 13 for earlier, later in pairwise(sorted(moved)))


QUARTERS = [f"{year}-Q{quarter}" for year in (2024, 2025) for quarter in (1, 2, 3, 4)]


def inside(drawing: Drawing, face: Typeface) -> bool:
    """Whether no shape and no text leaves the sheet."""
    for shape in drawing.shapes:
        match shape:
            case Box():
                spans = [(shape.x, shape.x + shape.width, shape.y, shape.y + shape.height)]
            case Path():
                spans = [(x, x, y, y) for x, y in shape.points]
            case Label():
                wide = face.width(shape.text, shape.size, shape.weight)
                start = shape.x - wide * {"start": 0, "middle": 0.5, "end": 1}[shape.anchor]
                spans = [(start, start + wide, shape.y - shape.size * 0.8, shape.y)]
            case _:
                continue
        for left, right, top, bottom in spans:
            if left < -1 or right > drawing.width + 1 or top < -1 or bottom > drawing.height + 1:
                return False
    return True


@given(st.lists(amounts, min_size=8, max_size=8), st.lists(amounts, min_size=8, max_size=8))
@each
def test_columns_stay_on_their_sheet(
    face: Typeface, values: list[float], plan: list[float]
) -> None:
    drawing = columns(
        face, QUARTERS, values, unit="cents", currency="EUR", description="d", plan=plan
    )
    assert inside(drawing, face)


@given(
    st.lists(
        st.lists(st.none() | st.floats(-3, 3), min_size=8, max_size=8).filter(
            lambda values: values != [None] * 8
        ),
        min_size=1,
        max_size=5,
    )
)
@each
def test_lines_stay_on_their_sheet(face: Typeface, series: list[list[float | None]]) -> None:
    drawn = [Line(name=f"Entity {number}", values=one) for number, one in enumerate(series)]
    drawing = lines(face, QUARTERS, drawn, unit="ratio", currency="EUR", description="d")
    assert inside(drawing, face)


@given(st.lists(amounts, min_size=1, max_size=6))
@each
def test_bars_stay_on_their_sheet(face: Typeface, values: list[float]) -> None:
    rows = [Bar(name="Handelsgesells…", value=one, note=f"{one / 1e8:+.1f} m") for one in values]
    assert inside(bars(face, rows, description="d"), face)


def test_a_month_without_a_value_is_marked(face: Typeface) -> None:
    drawing = columns(
        face,
        ["2025-01", "2025-02", "2025-03"],
        [100.0, None, 300.0],
        unit="cents",
        currency="EUR",
        description="d",
        marked=frozenset({"2025-02"}),
    )
    assert "none" in [shape.text for shape in drawing.shapes if isinstance(shape, Label)]


def test_a_drawing_describes_itself_and_escapes_what_it_is_told(face: Typeface) -> None:
    svg = as_svg(bars(face, [Bar(name="<A&B>", value=1.0, note="1")], description='"x" < y'))
    assert "<title>&quot;x&quot; &lt; y</title>" in svg
    assert "&lt;A&amp;B&gt;" in svg
    assert 'role="img"' in svg


def test_the_scale_follows_the_largest_value() -> None:
    assert scale_of([8e8], "cents", "EUR").title == "EUR million"
    assert scale_of([8e6], "cents", "EUR").title == "EUR thousand"
    assert scale_of([8e4], "cents", "EUR").title == "EUR"
    assert scale_of([0.2], "ratio", "EUR").text(0.125, 1) == "12.5"


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=("C", "Z")), max_size=80))
@each
def test_wrapped_lines_fit_and_lose_nothing(face: Typeface, text: str) -> None:
    words = " ".join(text[start : start + 9] for start in range(0, len(text), 9))
    wrapped = face.wrapped(words, 10, 90)
    assert all(face.width(line, 10) <= 90 for line in wrapped)
    assert "".join(wrapped).replace(" ", "") == text


def test_a_shortened_text_fits(face: Typeface) -> None:
    assert face.shortened("short", 10, 100) == "short"
    cut = face.shortened("Beteiligungsverwaltungsgesellschaft", 10, 60)
    assert cut.endswith("…")
    assert face.width(cut, 10) <= 60


def test_figures_have_equal_width(face: Typeface) -> None:
    assert len({face.width(digit, 10) for digit in "0123456789"}) == 1


def test_the_font_goes_along_as_data() -> None:
    uri = data_uri("regular", ["Ωж€"])
    assert uri.startswith("data:font/woff;base64,")
    assert uri == data_uri("regular", ["Ωж€"])
