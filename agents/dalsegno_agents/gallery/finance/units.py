"""How periods are counted and values are written, in one way for every page and text.

A month is `YYYY-MM`, a quarter `YYYY-Qn`. Knows nothing of books.
"""

from datetime import date
from typing import Literal, TypeAlias

Unit: TypeAlias = Literal["cents", "ratio", "times", "days", "count"]
Number: TypeAlias = int | float


def months_of(quarter: str) -> tuple[str, str, str]:
    """The months of a quarter: `2025-Q4` is `2025-10`, `2025-11`, `2025-12`."""
    first = (int(quarter[-1]) - 1) * 3 + 1
    return (
        f"{quarter[:4]}-{first:02}",
        f"{quarter[:4]}-{first + 1:02}",
        f"{quarter[:4]}-{first + 2:02}",
    )


def quarter_of(month: str) -> str:
    """The quarter of a month: `2025-11` is in `2025-Q4`."""
    return f"{month[:4]}-Q{(int(month[5:7]) + 2) // 3}"


def days_of(quarter: str) -> int:
    """How many days a quarter has: 90 to 92."""
    year, first = int(quarter[:4]), (int(quarter[-1]) - 1) * 3 + 1
    end = date(year + 1, 1, 1) if first == 10 else date(year, first + 3, 1)
    return (end - date(year, first, 1)).days


def shown(value: Number, unit: Unit, currency: str = "") -> str:
    """A value as people read it; the one way in which every page and text writes it.

    Cents become `EUR 1,234,567.89`, a ratio `25.3 %`, times `1.82`, days `41.2 days`, a
    count `12`.
    """
    match unit:
        case "cents":
            sign = "-" if value < 0 else ""
            whole, cents = divmod(abs(int(value)), 100)
            return f"{currency} {sign}{whole:,}.{cents:02}".strip()
        case "ratio":
            return f"{value * 100:,.1f} %"
        case "times":
            return f"{value:,.2f}"
        case "days":
            return f"{value:,.1f} days"
        case "count":
            return f"{value:,}"
