"""What counts as a number in a text, and which numbers an analysis answers for."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dalsegno_agents.gallery.finance.model import Analysis, Figure
from dalsegno_agents.gallery.finance.summary.known import Known
from dalsegno_agents.gallery.finance.summary.numbers import Written, numbers_in
from dalsegno_agents.gallery.finance.units import shown

each = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read(text: str) -> list[tuple[str, float, float, int]]:
    return [(one.kind, one.value, one.precision, one.sign) for one in numbers_in(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EUR 1,234,567.89", ("money", 1_234_567.89, 0.005, 0)),
        ("EUR -1,234.50", ("money", 1_234.5, 0.05 / 10, -1)),
        ("€1.2 million", ("money", 1_200_000, 50_000, 0)),
        ("$3bn", ("money", 3e9, 5e8, 0)),
        ("12.5k EUR", ("money", 12_500, 50, 0)),
        ("EUR12.3m", ("money", 12_300_000, 50_000, 0)),
        ("(EUR 1,234)", ("money", 1_234, 0.5, 0)),
        ("1 234 567 euros", ("money", 1_234_567, 0.5, 0)),
        ("-3.2 %", ("percent", 3.2, 0.05, -1)),
        ("+4%", ("percent", 4, 0.5, 1)),
        ("(3.2 %)", ("percent", 3.2, 0.05, 0)),
        ("twenty per cent", ("percent", 20, 0.5, 0)),
        ("1.2 percentage points", ("points", 1.2, 0.05, 0)),
        ("0.4pp", ("points", 0.4, 0.05, 0)),
        ("35 basis points", ("basis_points", 35, 0.5, 0)),
        ("1.82x", ("times", 1.82, 0.005, 0)),
        ("41.2 days", ("days", 41.2, 0.05, 0)),
        ("90-day", ("days", 90, 0.5, 0)),
        ("58 thousand rows", ("plain", 58_000, 500, 0)),
        ("twelve entries", ("plain", 12, 0.5, 0)),
        ("twenty-one", ("plain", 21, 0.5, 0)),
        ("two million euros", ("money", 2e6, 5e5, 0)),
    ],
)
def test_a_number_is_read_with_its_unit_and_precision(
    text: str, expected: tuple[str, float, float, int]
) -> None:
    assert read(f"It was {text}, they say.") == [pytest.approx(expected)]


@pytest.mark.parametrize(
    "text",
    ["2025-Q4", "Q3 2024", "FY2025", "November 2025", "3 November 2025", "2025-11-03", "in 2024"],
)
def test_periods_are_years_and_not_amounts(text: str) -> None:
    assert [one.kind for one in numbers_in(f"As of {text}, it holds.")] == ["year"]


def test_documents_are_identifiers_and_names_are_nothing() -> None:
    found = numbers_in("SI-DE01-000042 of DE01 for V9033", names=["DE01"])
    assert [(one.kind, one.text) for one in found] == [
        ("identifier", "SI-DE01-000042"),
        ("identifier", "V9033"),
    ]


def test_digits_that_make_no_number_do_not_slip_through() -> None:
    assert [one.text for one in numbers_in("so 1,234,5678 of them") if one.kind == "identifier"]


def test_words_that_are_no_numbers_are_left_alone() -> None:
    assert numbers_in("Someone often weighs one tone against the other; so do I.") == []


# --- the analysis ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(analysis: Analysis) -> Known:
    return Known(analysis)


def _millions(figure: Figure) -> str:
    return f"EUR {figure.value / 1e8:,.2f} million"


def _thousands(figure: Figure) -> str:
    return f"EUR {figure.value / 1e5:,.1f}k"


def _whole(figure: Figure) -> str:
    return f"EUR {figure.value / 100:,.0f}"


def _in_parentheses(figure: Figure) -> str:
    return f"(EUR {abs(figure.value) / 100:,.2f})"


def _without_currency(figure: Figure) -> str:
    return f"{abs(figure.value) / 100:,.2f}"


def _shown(figure: Figure) -> str:
    return shown(figure.value, figure.unit, "EUR")


MONEY: tuple[Callable[[Figure], str], ...] = (
    _millions,
    _thousands,
    _whole,
    _in_parentheses,
    _without_currency,
    _shown,
)


@given(data=st.data())
@each
def test_a_figure_is_accepted_in_every_way_to_write_it(
    analysis: Analysis, known: Known, data: st.DataObject
) -> None:
    figure = data.draw(st.sampled_from(analysis.figures))
    ways = MONEY if figure.unit == "cents" else (_shown,)
    text = data.draw(st.sampled_from(ways))(figure)
    assert known.unknown([f"The figure is {text}, as expected."]) == []


@given(data=st.data(), off=st.floats(0.003, 0.4), up=st.booleans())
@each
def test_a_figure_that_was_altered_is_refused(
    analysis: Analysis, known: Known, data: st.DataObject, off: float, up: bool
) -> None:
    """Written to the cent, no altered amount hits another one by chance."""
    money = [figure for figure in analysis.figures if figure.unit == "cents"]
    figure = data.draw(st.sampled_from(money))
    altered = round(figure.value * (1 + off if up else 1 - off)) + 0
    amounts = {abs(one.value) for one in money}
    amounts.update(abs(value) for one in money for value in one.inputs.values())
    amounts.update(abs(trend.change) for trend in analysis.trends)
    if abs(altered) in amounts:
        return
    text = shown(altered, "cents", "EUR")
    assert known.unknown([f"The figure is {text}, we hear."]) == [text]


@given(data=st.data())
@each
def test_a_trend_is_accepted_as_percent_or_points(
    analysis: Analysis, known: Known, data: st.DataObject
) -> None:
    trend = data.draw(st.sampled_from(analysis.trends))
    if trend.change_ratio is not None:
        text = f"It moved by {trend.change_ratio * 100:+,.1f} %."
    elif trend.unit == "ratio":
        text = f"It moved by {trend.change * 100:+,.2f} percentage points."
    else:
        return
    assert known.unknown([text]) == []


def test_a_wrong_sign_is_refused(analysis: Analysis, known: Known) -> None:
    variance = analysis.figure("budget_variance")
    assert variance is not None
    assert variance.value < 0
    right = f"{variance.value * 100:,.3f} %"
    assert known.unknown([f"Revenue is {right} off."]) == []
    assert known.unknown([f"Revenue is +{right.lstrip('-')} off."]) != []


def test_a_change_of_a_ratio_is_not_a_percentage(analysis: Analysis, known: Known) -> None:
    trend = next(one for one in analysis.trends if one.id == "gross_margin/group/2025-Q4/yoy")
    points = f"{abs(trend.change) * 100:.3f}"
    assert known.unknown([f"It fell by {points} percentage points."]) == []
    assert known.unknown([f"It fell by {points} %."]) == [f"{points} %"]


def test_another_currency_is_refused(analysis: Analysis, known: Known) -> None:
    revenue = analysis.figure("revenue")
    assert revenue is not None
    assert known.unknown([f"It was USD {revenue.value / 100:,.2f}."]) != []
    assert known.unknown([f"It was ${revenue.value / 1e8:,.2f} million."]) != []


def test_documents_of_the_anomalies_are_known_and_others_are_not(known: Known) -> None:
    assert known.unknown(["Look at PY-NL03-002311 and account 6300 for V9033."]) == []
    assert known.unknown(["Look at PY-NL03-002312."]) == ["PY-NL03-002312"]
    assert known.unknown(["Look at account 6301."]) == ["6301"]


def test_years_far_from_the_books_are_refused(known: Known) -> None:
    assert known.unknown(["In 2025-Q4, as in 2024, and before the close of Q1 2026."]) == []
    assert known.unknown(["By 2031 it will have changed."]) == ["2031"]


def test_counts_of_anomalies_are_known(known: Known) -> None:
    assert known.unknown(["Nine anomalies, two critical and three high; 60,518 rows."]) == []
    assert known.unknown(["There are 57 anomalies."]) == ["57"]


def test_a_number_lies_within_half_a_unit_of_its_last_digit(known: Known) -> None:
    written = Written(text="x", start=0, kind="days", value=44.5, precision=0.05)
    assert known.has(written)  # 44.487 days
    assert not known.has(Written(text="x", start=0, kind="days", value=44.6, precision=0.05))
