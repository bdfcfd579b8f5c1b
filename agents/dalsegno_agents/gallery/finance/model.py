"""What the finance agents hand to one another: books, figures, anomalies, findings, the report.

Owns the models only. Rows never travel in them: a `Table` points at a parquet artifact (`tables`
reads it). Two conventions hold everywhere:

* Money is a whole number of cents (a name ending in `_cents`, or a unit `cents`), so that sums are
  exact. In ledger, budget and balances a debit is positive and a credit negative; figures are
  signed as people read them (revenue, costs, assets and liabilities are all positive).
* A month is `YYYY-MM`, a quarter `YYYY-Qn`, and `GROUP` stands for all entities together, with
  what they owe and sell to one another eliminated.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from dalsegno_agents.gallery.finance.sources import Frozen, ReportRequest, Role, Source
from dalsegno_agents.gallery.finance.units import Number, Unit
from dalsegno_bus.messages import Artifact, Json

GROUP: Final = "group"

Severity: TypeAlias = Literal["critical", "high", "medium", "low"]

# --- gathered and reconciled ------------------------------------------------------------------


class Table(Frozen):
    """Rows of one documented table (`sources.TABLES`), kept as parquet."""

    role: Role
    rows: int
    columns: tuple[str, ...]
    """Those that the source fills; the other documented ones are there too, all null."""
    sources: tuple[str, ...]
    """The names of the sources that the rows are from."""
    sign: Literal["debit", "credit", "natural"] = "debit"
    """`debit` once reconciled."""
    artifact: Artifact


class Gathered(Frozen):
    """What `finance.gather` made of one source."""

    source: str
    kind: Literal["sql", "xlsx", "csv"]
    location: str
    """Where it was read: host and database, or path. Never a password."""
    tables: tuple[Table, ...]


class Difference(Frozen):
    """Two sources, or two tables, that should agree and do not."""

    check: str
    """Which `Reconciliation` found it."""
    entity: str = ""
    period: str = ""
    account: str = ""
    document: str = ""
    left: str
    """What is compared, in words: `ledger`."""
    right: str
    left_cents: int
    right_cents: int
    sources: tuple[str, ...] = ()

    @property
    def amount_cents(self) -> int:
        """By how much the left is greater."""
        return self.left_cents - self.right_cents


class Reconciliation(Frozen):
    """One comparison between sources, whether it could be made or not."""

    check: str
    label: str
    compared: int
    """How many pairs were compared; 0: it could not be made, `note` says why."""
    differences: int
    left_cents: int = 0
    right_cents: int = 0
    note: str = ""


class Books(Frozen):
    """All sources in one documented shape, and how far they agree: output of `reconcile`."""

    entities: tuple[str, ...]
    periods: tuple[str, ...]
    """Every month from the first entry to the last, without holes."""
    tables: dict[Role, Table]
    reconciliations: tuple[Reconciliation, ...]
    differences: tuple[Difference, ...]
    """At most `DIFFERENCES_MAX`, the largest first; `reconciliations` counts all."""
    notes: tuple[str, ...] = ()
    """What a reader should know: tables that are missing, rows that were added together."""


DIFFERENCES_MAX: Final = 200

# --- analyzed ---------------------------------------------------------------------------------

Kpi: TypeAlias = Literal[
    "revenue",
    "gross_profit",
    "gross_margin",
    "operating_income",
    "operating_margin",
    "ebitda",
    "net_income",
    "dso",
    "dpo",
    "current_ratio",
    "cash",
    "budget_revenue",
    "budget_variance",
    "budget_operating_income",
    "budget_variance_operating_income",
]


class Figure(Frozen):
    """One number that the analysis answers for, and how it came to be."""

    id: str
    """`<kpi>/<entity>/<period>`, such as `revenue/group/2025-Q4`: what a summary cites."""
    kpi: Kpi
    label: str
    entity: str
    """A legal entity, or `GROUP`."""
    period: str
    value: Number
    """In `unit`: a ratio of 0.25 is 25 %; `times` is for the current ratio."""
    unit: Unit
    formula: str
    """Arithmetic over the names in `inputs`; it gives `value` when it is evaluated."""
    inputs: dict[str, Number]
    """Each operand of the formula. A name says its unit: `revenue_cents`, `days`."""


class Omission(Frozen):
    """A figure or a test that could not be made, and why."""

    id: str
    """The `Kpi` or the `Check.id`."""
    label: str
    reason: str


class Trend(Frozen):
    """A figure against the same one of an earlier quarter."""

    id: str
    """`<figure id>/qoq` or `<figure id>/yoy`."""
    figure: str
    kind: Literal["qoq", "yoy"]
    label: str
    entity: str
    period: str
    previous_period: str
    value: Number
    previous: Number
    unit: Unit
    change: Number
    """`value - previous`, in `unit`."""
    change_ratio: float | None
    """`change / abs(previous)`; None where the earlier one is 0, or a ratio itself."""


AnomalyKind: TypeAlias = Literal[
    "duplicate",
    "wrong_sign",
    "outlier",
    "gap",
    "source_mismatch",
    "unknown_counterparty",
    "round_amounts",
    "late_posting",
    "unbalanced",
    "benford",
]


class Reference(Frozen):
    """Where to look: a row, or a group of rows, of a documented table."""

    table: str
    document: str = ""
    entity: str = ""
    period: str = ""
    account: str = ""
    counterparty: str = ""


class Anomaly(Frozen):
    """Something in the books that a person should look at."""

    id: str
    """`<kind>/<n>`, numbered by weight within the kind."""
    kind: AnomalyKind
    severity: Severity
    entity: str = ""
    period: str = ""
    amount_cents: int | None = None
    """What is at stake, positive; None where money says nothing."""
    evidence: tuple[Reference, ...]
    """At most `EVIDENCE_MAX`."""
    explanation: str
    """One or two sentences for a person, with the numbers."""
    score: float
    """How far beyond the test's threshold (1: just at it); compares within a kind only."""
    method: str
    """The id of the `Check` that found it."""


EVIDENCE_MAX: Final = 20


class Check(Frozen):
    """One test of the books: what it looked at, and what came of it."""

    id: str
    label: str
    method: str
    """How it works and where it is from, in one sentence."""
    examined: int
    """How many rows, documents or series."""
    anomalies: int
    result: str
    """In words: `MAD 0.0041: close conformity`."""


class Series(Frozen):
    """Points of a chart, in order."""

    id: str
    """`<what>/<entity>`: `revenue/group`, `benford/expected`."""
    label: str
    entity: str
    unit: Unit
    periods: tuple[str, ...]
    """Months, quarters, or the digits 1 to 9."""
    values: tuple[Number | None, ...]
    """One for each period; None where there is none."""


class Coverage(Frozen):
    """What the analysis rests on."""

    entities: tuple[str, ...]
    periods: tuple[str, ...]
    """Months."""
    quarters: tuple[str, ...]
    """Those that are complete, the oldest first."""
    rows: dict[str, int]
    """By table."""
    missing_tables: tuple[str, ...]


class Analysis(Frozen):
    """Output of `finance.analyze`."""

    company: str
    currency: str
    period: str
    """The quarter that the report is on."""
    coverage: Coverage
    figures: tuple[Figure, ...]
    """Each KPI for `GROUP` and each entity, for every quarter."""
    omitted: tuple[Omission, ...]
    trends: tuple[Trend, ...]
    """Of the quarter that the report is on."""
    anomalies: tuple[Anomaly, ...]
    """The gravest first."""
    checks: tuple[Check, ...]
    reconciliations: tuple[Reconciliation, ...]
    differences: tuple[Difference, ...]
    series: tuple[Series, ...]

    def figure(self, kpi: Kpi, entity: str = GROUP, period: str | None = None) -> Figure | None:
        """One figure (of the report's quarter unless `period` is given), or None."""
        wanted = f"{kpi}/{entity}/{period or self.period}"
        return next((figure for figure in self.figures if figure.id == wanted), None)


# --- reviewed, summarized, reported -----------------------------------------------------------


class Finding(Frozen):
    """One breach of a compliance rule."""

    id: str
    rule: str
    title: str
    severity: Severity
    message: str
    evidence: tuple[Reference, ...] = ()
    amount_cents: int | None = None


class Review(Frozen):
    """Output of `finance.review`."""

    findings: tuple[Finding, ...]
    """The gravest first."""
    rules: tuple[str, ...]
    """The ids of the rules that were applied."""
    omitted: tuple[Omission, ...] = ()
    """Rules that the books do not suffice for."""
    critical: int
    """How many findings are; the workflow waits for an approval when it is above 0."""
    high: int = 0
    medium: int = 0
    low: int = 0


class Summary(Frozen):
    """Output of `finance.summarize`: every number in it is in the analysis."""

    headline: str
    paragraphs: tuple[str, ...]
    cited: tuple[str, ...]
    """Ids of the figures, trends and anomalies that the text speaks of."""
    written_by: str
    """The model's name, or `deterministic`."""
    attempts: Annotated[int, Field(ge=1)] = 1
    """How many texts were written until one held."""


class Report(Frozen):
    """Output of `finance.report`, and of the workflow."""

    html: Artifact
    pdf: Artifact
    xlsx: Artifact
    headline: str
    figures: tuple[Figure, ...]
    """The headline figures."""
    anomalies: int
    findings: tuple[Finding, ...]
    critical: int
    approved_by: str | None = None


# --- what each task is asked ------------------------------------------------------------------


class GatherRequest(Frozen):
    """Input of `finance.gather`: one source."""

    source: Source


class ReconcileRequest(Frozen):
    """Input of `finance.reconcile`."""

    request: ReportRequest
    gathered: tuple[Gathered, ...]


class AnalyzeRequest(Frozen):
    """Input of `finance.analyze`."""

    request: ReportRequest
    books: Books


class SummarizeRequest(Frozen):
    """Input of `finance.summarize`."""

    request: ReportRequest
    analysis: Analysis


class ReviewRequest(Frozen):
    """Input of `finance.review`."""

    request: ReportRequest
    books: Books
    analysis: Analysis


class ReportTask(Frozen):
    """Input of `finance.report`."""

    request: ReportRequest
    analysis: Analysis
    summary: Summary
    review: Review
    approval: Json = None
    """What the signal `approval` carried (`{by, comment}`); None: none was needed."""
