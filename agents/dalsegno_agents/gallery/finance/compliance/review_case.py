"""What a compliance rule is applied to, and what it comes to.

Owns the reading of rows for the rules and the making of findings: severity, wording of amounts,
references, the bound on their number. Knows no rule by name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import polars as pl

from dalsegno_agents.context import TaskContext
from dalsegno_agents.gallery.finance.compliance.rules import Materiality, Rule
from dalsegno_agents.gallery.finance.model import (
    EVIDENCE_MAX,
    GROUP,
    Analysis,
    Books,
    Finding,
    Reference,
    Severity,
)
from dalsegno_agents.gallery.finance.sources import Role
from dalsegno_agents.gallery.finance.tables import read_role
from dalsegno_agents.gallery.finance.units import shown

QUARTERS_IN_A_YEAR: Final = 4
GRAVITY: Final[tuple[Severity, ...]] = ("critical", "high", "medium", "low")
NAMED_MAX: Final = 5
"""So many documents are named in a sentence; the evidence has more."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one rule came to: findings, or why it could not be applied."""

    findings: tuple[Finding, ...] = ()
    has_rest: bool = False
    """The last finding stands for those beyond the bound."""
    lacking: str = ""
    """Why it could not be applied at all; empty: it was."""
    in_part: str = ""
    """What it could not be applied to, and why."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Books and analysis, as the rules look at them."""

    books: Books
    analysis: Analysis
    materiality: Materiality
    context: TaskContext[Any]
    _read: dict[Role, pl.DataFrame] = field(default_factory=dict[Role, pl.DataFrame], repr=False)

    def rows(self, role: Role) -> pl.DataFrame:
        """The rows of a documented table; none where the books have none."""
        if role not in self._read:
            self._read[role] = read_role(self.books, role, self.context)
        return self._read[role]

    def lacking(self, role: Role, *columns: str) -> str:
        """What the books lack for a rule, in words; empty: nothing."""
        table = self.books.tables.get(role)
        if table is None:
            return f"the books have no table `{role}`"
        missing = [f"`{column}`" for column in columns if column not in table.columns]
        return f"the table `{role}` has no {' and no '.join(missing)}" if missing else ""

    @property
    def material_cents(self) -> int | None:
        """From which amount on something is material; None: its basis is not known."""
        figures = [
            figure.value
            for figure in self.analysis.figures
            if figure.kpi == self.materiality.basis
            and figure.entity == GROUP
            and figure.period <= self.analysis.period
        ]
        basis = abs(sum(figures[-QUARTERS_IN_A_YEAR:]))
        return round(basis * self.materiality.share) or None

    def money(self, cents: float) -> str:
        """Cents as text."""
        return shown(round(cents), "cents", self.analysis.currency)

    def finding(
        self,
        rule: Rule,
        message: str,
        *,
        evidence: Iterable[Reference] = (),
        cents: int | None = None,
        severity: Severity | None = None,
        title: str | None = None,
    ) -> Finding:
        """One breach; it gets its id when all are known.

        Args:
            rule: Which rule it breaks.
            message: One or two sentences, with the numbers.
            evidence: Where to look.
            cents: What is at stake, positive.
            severity: In place of the rule's.
            title: In place of the rule's.
        """
        given = "low" if rule.severity == "as_found" else rule.severity
        return Finding(
            id="",
            rule="",
            title=title or rule.title,
            severity=self._severity(rule, severity or given, cents),
            message=message,
            evidence=tuple(evidence)[:EVIDENCE_MAX],
            amount_cents=cents,
        )

    def _severity(self, rule: Rule, severity: Severity, cents: int | None) -> Severity:
        material = self.material_cents
        if rule.severity_if_material is None or cents is None or material is None:
            return severity
        if cents < material:
            return severity
        raised: tuple[Severity, Severity] = (severity, rule.severity_if_material)
        return min(raised, key=GRAVITY.index)

    def bounded(self, rule: Rule, findings: Sequence[Finding], *, in_part: str = "") -> Outcome:
        """At most `findings_max`, the largest first; the last one then stands for the rest."""
        ranked = sorted(
            findings, key=lambda one: (GRAVITY.index(one.severity), -(one.amount_cents or 0))
        )
        if len(ranked) <= rule.findings_max:
            return Outcome(findings=tuple(ranked), in_part=in_part)
        kept, rest = ranked[: rule.findings_max - 1], ranked[rule.findings_max - 1 :]
        cents = sum(one.amount_cents or 0 for one in rest)
        together = f", {self.money(cents)} together" if cents else ""
        last = self.finding(
            rule,
            f"{rule.title}: {len(rest)} more{together}.",
            evidence=(one.evidence[0] for one in rest if one.evidence),
            cents=cents or None,
            severity=rest[0].severity,
        )
        return Outcome(findings=(*kept, last), has_rest=True, in_part=in_part)


def in_cents(amount: Decimal) -> int:
    """An amount of a rule, in cents."""
    return round(amount * 100)


def reference_to(table: str, row: dict[str, Any]) -> Reference:
    """Where to look for a row."""
    date = row.get("date")
    return Reference(
        table=table,
        document=row.get("document") or "",
        entity=row.get("entity") or "",
        period=row.get("period") or (f"{date:%Y-%m}" if date else ""),
        account=row.get("account") or "",
        counterparty=row.get("counterparty") or "",
    )


def named(documents: Iterable[str]) -> str:
    """A few documents by name: `A, B and 3 more`."""
    names = [document for document in documents if document]
    if len(names) <= NAMED_MAX:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED_MAX])} and {len(names) - NAMED_MAX} more"
