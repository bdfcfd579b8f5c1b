"""What every test of the books works with: the tables, what counts as much, what was found already.

Owns the words in which an anomaly is told (severity, references). Tests are in `detect_*`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from dalsegno_agents.gallery.finance.model import (
    EVIDENCE_MAX,
    Anomaly,
    AnomalyKind,
    Check,
    Omission,
    Reference,
    Severity,
)
from dalsegno_agents.gallery.finance.reading.compare import Frames
from dalsegno_agents.gallery.finance.sources import Role
from dalsegno_agents.gallery.finance.tables import empty
from dalsegno_agents.gallery.finance.units import shown

MATERIAL_SHARE: Final = 0.005
"""Of a year's revenue: what is material to the whole. Auditors use 0.5 to 1 % (ISA 320 leaves the
share to judgement)."""
TRIVIAL_SHARE: Final = 0.05
"""Of what is material: below it, a difference is clearly trivial (ISA 450; 5 % is usual)."""
_ORDER: Final[tuple[Severity, ...]] = ("critical", "high", "medium", "low")


@dataclass(frozen=True, kw_only=True)
class Detected:
    """What one test came to."""

    check: Check | None = None
    omission: Omission | None = None
    anomalies: tuple[Anomaly, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The books as the tests see them."""

    frames: Frames
    entities: tuple[str, ...]
    periods: tuple[str, ...]
    currency: str
    material_cents: int
    explained: set[str] = field(default_factory=set[str])
    """Documents that an earlier test has pointed at; a later one need not do it again."""

    def table(self, role: Role) -> pl.DataFrame:
        """The rows of a role; none where the books have none."""
        found = self.frames.get(role)
        return empty(role) if found is None else found

    @property
    def trivial_cents(self) -> int:
        """Below it, an amount is clearly trivial to the whole."""
        return round(self.material_cents * TRIVIAL_SHARE)

    def money(self, cents: int) -> str:
        """Cents as text."""
        return shown(cents, "cents", self.currency)

    def severity(self, cents: int, at_least: Severity = "low") -> Severity:
        """How grave an amount is: `high` where it is material to the whole."""
        if cents >= self.material_cents:
            found: Severity = "high"
        else:
            found = "medium" if cents >= self.trivial_cents else "low"
        return found if _ORDER.index(found) <= _ORDER.index(at_least) else at_least

    def anomaly(
        self,
        kind: AnomalyKind,
        method: str,
        explanation: str,
        references: Sequence[Reference],
        *,
        cents: int | None = None,
        score: float = 1.0,
        entity: str = "",
        period: str = "",
        at_least: Severity = "low",
    ) -> Anomaly:
        """One anomaly; it gets its id when all are known."""
        return Anomaly(
            id="",
            kind=kind,
            severity=self.severity(0 if cents is None else cents, at_least),
            entity=entity,
            period=period,
            amount_cents=cents,
            evidence=tuple(references[:EVIDENCE_MAX]),
            explanation=explanation,
            score=round(score, 3),
            method=method,
        )


def passed(
    check: str,
    label: str,
    method: str,
    examined: int,
    anomalies: Iterable[Anomaly],
    result: str = "",
) -> Detected:
    """The outcome of a test that was made."""
    found = tuple(anomalies)
    return Detected(
        check=Check(
            id=check,
            label=label,
            method=method,
            examined=examined,
            anomalies=len(found),
            result=result or (f"{len(found)} found" if found else "nothing found"),
        ),
        anomalies=found,
    )


def left_out(check: str, label: str, reason: str) -> Detected:
    """The outcome of a test that the books do not suffice for."""
    return Detected(omission=Omission(id=check, label=label, reason=reason))


def documents_of(anomalies: Iterable[Anomaly]) -> set[str]:
    """Every document that some evidence names."""
    return {one.document for anomaly in anomalies for one in anomaly.evidence if one.document}


def row_reference(table: str, row: dict[str, Any]) -> Reference:
    """A reference to one row of a table."""
    return Reference(
        table=table,
        document=row.get("document") or "",
        entity=row.get("entity") or "",
        period=row.get("period") or (f"{row['date']:%Y-%m}" if row.get("date") else ""),
        account=row.get("account") or "",
        counterparty=row.get("counterparty") or "",
    )
