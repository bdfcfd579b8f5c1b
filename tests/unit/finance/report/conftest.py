"""A realistic analysis, made by hand: three entities, eight quarters, nine anomalies."""

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from dalsegno_agents import TaskContext, offline_context
from dalsegno_agents.gallery.finance.analysis.kpis import evaluated
from dalsegno_agents.gallery.finance.model import (
    GROUP,
    Analysis,
    Anomaly,
    AnomalyKind,
    Check,
    Coverage,
    Difference,
    Figure,
    Kpi,
    Omission,
    Reconciliation,
    Reference,
    Severity,
    Trend,
)
from dalsegno_agents.gallery.finance.sources import ReportRequest, Source, TableSource
from dalsegno_agents.gallery.finance.units import Number, Unit, days_of

ENTITIES = ("DE01", "FR02", "NL03")
QUARTERS = tuple(f"{year}-Q{quarter}" for year in (2024, 2025) for quarter in (1, 2, 3, 4))
MONTHS = tuple(f"{year}-{month:02}" for year in (2024, 2025) for month in range(1, 13))
PERIOD = QUARTERS[-1]
SIZE = {"DE01": 345_211_907, "FR02": 186_034_411, "NL03": 114_876_253}
COST_SHARE = {"DE01": 0.5312, "FR02": 0.5634, "NL03": 0.3417}
FEES = 8_887_500
SEASON = (0.927, 1.003, 0.941, 1.129)

EARLIER: tuple[tuple[Literal["qoq", "yoy"], str], ...] = (("qoq", "2025-Q3"), ("yoy", "2024-Q4"))
_OPERATING = "revenue_cents - cogs_cents - opex_cents - depreciation_cents"
KPIS: dict[Kpi, tuple[str, Unit, str]] = {
    "revenue": ("Revenue", "cents", "revenue_cents"),
    "gross_profit": ("Gross profit", "cents", "revenue_cents - cogs_cents"),
    "gross_margin": ("Gross margin", "ratio", "(revenue_cents - cogs_cents) / revenue_cents"),
    "operating_income": ("Operating income", "cents", _OPERATING),
    "operating_margin": ("Operating margin", "ratio", f"({_OPERATING}) / revenue_cents"),
    "ebitda": ("EBITDA", "cents", "revenue_cents - cogs_cents - opex_cents"),
    "net_income": ("Net income", "cents", f"{_OPERATING} - interest_cents - tax_cents"),
    "dso": ("Days sales outstanding", "days", "receivables_cents / revenue_cents * days"),
    "dpo": ("Days payables outstanding", "days", "payables_cents / cogs_cents * days"),
    "current_ratio": (
        "Current ratio",
        "times",
        "(cash_cents + receivables_cents + inventory_cents) / current_liabilities_cents",
    ),
    "cash": ("Cash", "cents", "cash_cents"),
    "budget_revenue": ("Budgeted revenue", "cents", "budget_revenue_cents"),
    "budget_variance": (
        "Revenue against budget",
        "ratio",
        "(outside_revenue_cents - budget_revenue_cents) / budget_revenue_cents",
    ),
    "budget_operating_income": (
        "Budgeted operating income",
        "cents",
        "budget_operating_income_cents",
    ),
    "budget_variance_operating_income": (
        "Operating income against budget",
        "cents",
        f"{_OPERATING} - budget_operating_income_cents",
    ),
}


def _base(entity: str, position: int) -> dict[str, int]:
    growth = 1.0 + 0.017 * position
    revenue = round(SIZE[entity] * growth * SEASON[position % 4])
    cogs = round(revenue * (COST_SHARE[entity] + 0.0023 * position))
    opex = round(SIZE[entity] * 0.287 * (1 + 0.006 * position))
    return {
        "revenue": revenue,
        "outside_revenue": revenue,
        "cogs": cogs,
        "opex": opex,
        "depreciation": round(SIZE[entity] * 0.0271),
        "interest": round(SIZE[entity] * 0.0021),
        "tax": round(SIZE[entity] * 0.0093),
        "receivables": round(revenue * 0.447 * (1 + 0.01 * position)),
        "payables": round(cogs * 0.391),
        "inventory": round(cogs * 0.61),
        "cash": round(SIZE[entity] * (1.41 + 0.037 * position)),
        "current_liabilities": round(cogs * 0.391 + SIZE[entity] * 0.48),
        "budget_revenue": round(SIZE[entity] * (1.0 + 0.0195 * position) * SEASON[position % 4]),
        "budget_operating_income": round(SIZE[entity] * 0.131 * (1 + 0.01 * position)),
    }


def _group(position: int) -> dict[str, int]:
    parts = [_base(entity, position) for entity in ENTITIES]
    total = {name: sum(part[name] for part in parts) for name in parts[0]}
    total["revenue"] -= FEES
    total["outside_revenue"] -= FEES
    total["opex"] -= FEES
    return total


def _figures(entity: str, period: str, base: dict[str, int]) -> list[Figure]:
    operands: dict[str, Number] = {f"{name}_cents": value for name, value in base.items()}
    operands["days"] = days_of(period)
    figures: list[Figure] = []
    for kpi, (label, unit, formula) in KPIS.items():
        names = dict.fromkeys(re.findall(r"[a-z_]+", formula))
        inputs = {name: operands[name] for name in names}
        figures.append(
            Figure(
                id=f"{kpi}/{entity}/{period}",
                kpi=kpi,
                label=label,
                entity=entity,
                period=period,
                value=evaluated(formula, inputs),
                unit=unit,
                formula=formula,
                inputs=inputs,
            )
        )
    return figures


def _trends(figures: dict[str, Figure]) -> list[Trend]:
    trends: list[Trend] = []
    for figure in (one for one in figures.values() if one.period == PERIOD):
        for kind, previous_period in EARLIER:
            previous = figures[f"{figure.kpi}/{figure.entity}/{previous_period}"]
            change = figure.value - previous.value
            ratio = None if figure.unit == "ratio" else change / abs(previous.value)
            trends.append(
                Trend(
                    id=f"{figure.id}/{kind}",
                    figure=figure.id,
                    kind=kind,
                    label=figure.label,
                    entity=figure.entity,
                    period=PERIOD,
                    previous_period=previous_period,
                    value=figure.value,
                    previous=previous.value,
                    unit=figure.unit,
                    change=change,
                    change_ratio=ratio,
                )
            )
    return trends


def _documents(table: str, entity: str, *names: str, party: str = "") -> tuple[Reference, ...]:
    return tuple(
        Reference(table=table, document=name, entity=entity, counterparty=party) for name in names
    )


def _account(entity: str, account: str, period: str) -> tuple[Reference, ...]:
    return (Reference(table="ledger", entity=entity, account=account, period=period),)


Planted = tuple[AnomalyKind, Severity, str, str, int | None, tuple[Reference, ...], str]
ANOMALIES: tuple[Planted, ...] = (
    (
        "unknown_counterparty",
        "critical",
        "NL03",
        "2025-06",
        2_188_430,
        _documents("payments", "NL03", "PY-NL03-002311", party="V9033"),
        "Payment PY-NL03-002311 of EUR 21,884.30 went to V9033, who is not among the "
        "counterparties.",
    ),
    (
        "unbalanced",
        "critical",
        "DE01",
        "2025-05",
        27_000,
        _documents("ledger", "DE01", "MJ-DE01-000031"),
        "Debits and credits of MJ-DE01-000031 differ by EUR 270.00.",
    ),
    (
        "duplicate",
        "high",
        "DE01",
        "2025-07",
        843_715,
        _documents("invoices", "DE01", "VI-DE01-000512", "VI-DE01-000530"),
        "Invoices VI-DE01-000512 and VI-DE01-000530 of V5021 carry the same number RE-48213 "
        "and the same amount of EUR 8,437.15, 9 days apart.",
    ),
    (
        "duplicate",
        "high",
        "FR02",
        "2025-08",
        1_209_044,
        _documents("payments", "FR02", "PY-FR02-001404", "PY-FR02-001431"),
        "Invoice VI-FR02-000377 of EUR 12,090.44 was paid twice, 7 days apart.",
    ),
    (
        "wrong_sign",
        "high",
        "FR02",
        "2025-04",
        1_241_180,
        _account("FR02", "7000", "2025-04"),
        "Account 7000 has EUR -12,411.80 in 2025-04, where every other month is a debit.",
    ),
    (
        "outlier",
        "medium",
        "DE01",
        "2025-09",
        21_119_617,
        _account("DE01", "6300", "2025-09"),
        "Account 6300 has EUR 247,310.22 in 2025-09, against a median of EUR 36,114.05.",
    ),
    (
        "gap",
        "medium",
        "FR02",
        "2025-05",
        1_374_777,
        _account("FR02", "6100", "2025-05"),
        "Account 6100 has no entry in 2025-05 but one in each of the other 23 months.",
    ),
    (
        "round_amounts",
        "medium",
        "DE01",
        "",
        3_100_000,
        _documents("payments", "DE01", "PY-DE01-003001", "PY-DE01-003017"),
        "6 payments to V5035 are whole thousands, EUR 31,000.00 together.",
    ),
    (
        "benford",
        "low",
        "NL03",
        "",
        None,
        (Reference(table="invoices", entity="NL03", counterparty="V5219"),),
        "The first digits of 1,912 purchase invoices do not follow Benford's law: "
        "a mean absolute deviation of 0.0187.",
    ),
)


def _anomalies() -> tuple[Anomaly, ...]:
    return tuple(
        Anomaly(
            id=f"{kind}/{number}",
            kind=kind,
            severity=severity,
            entity=entity,
            period=period,
            amount_cents=cents,
            evidence=evidence,
            explanation=explanation,
            score=2.4,
            method=kind,
        )
        for number, (kind, severity, entity, period, cents, evidence, explanation) in enumerate(
            ANOMALIES, 1
        )
    )


def _compared(check: str, label: str, pairs: int, left: int, right: int) -> Reconciliation:
    return Reconciliation(
        check=check,
        label=label,
        compared=pairs,
        differences=int(left != right),
        left_cents=left,
        right_cents=right,
        note="" if pairs else "needs `payments` and `bank`",
    )


RECONCILIATIONS = (
    _compared("ledger-documents", "Debits and credits of each entry", 18_244, 911_233, 884_233),
    _compared("ledger-balances", "Ledger against reported balances", 2_208, 712_114, 703_114),
    _compared("invoices-lines", "Invoices against their lines", 5_881, 514_401, 514_401),
    _compared("payments-bank", "Payments against the bank statement", 0, 0, 0),
)


def build_analysis() -> Analysis:
    """The analysis; the same in every call."""
    figures: dict[str, Figure] = {}
    for position, period in enumerate(QUARTERS):
        for entity in (GROUP, *ENTITIES):
            base = _group(position) if entity == GROUP else _base(entity, position)
            figures.update((figure.id, figure) for figure in _figures(entity, period, base))
    return Analysis(
        company="Fermata Instruments Group",
        currency="EUR",
        period=PERIOD,
        coverage=Coverage(
            entities=ENTITIES,
            periods=MONTHS,
            quarters=QUARTERS,
            rows={"ledger": 41_377, "invoices": 9_913, "payments": 9_204, "closings": 24},
            missing_tables=("inventory counts",),
        ),
        figures=tuple(figures.values()),
        omitted=(
            Omission(
                id="payroll-registers",
                label="Payroll against the ledger",
                reason="the books have no table of payroll registers",
            ),
        ),
        trends=tuple(_trends(figures)),
        anomalies=_anomalies(),
        checks=(
            Check(
                id="duplicate",
                label="Duplicate invoices and payments",
                method="Same counterparty and amount within 30 days, references compared loosely.",
                examined=19_117,
                anomalies=2,
                result="2 pairs",
            ),
            Check(
                id="benford",
                label="First digits",
                method="Nigrini's mean absolute deviation from Benford's law.",
                examined=1_912,
                anomalies=1,
                result="MAD 0.0187: nonconformity",
            ),
        ),
        reconciliations=RECONCILIATIONS,
        differences=(
            Difference(
                check="ledger-balances",
                entity="NL03",
                period="2025-08",
                account="4100",
                left="ledger",
                right="balances",
                left_cents=-14_228_114,
                right_cents=-14_219_114,
                sources=("erp", "entities"),
            ),
            Difference(
                check="ledger-documents",
                entity="DE01",
                period="2025-05",
                document="MJ-DE01-000031",
                left="debits",
                right="credits",
                left_cents=361_200,
                right_cents=334_200,
                sources=("erp", "manual-journal"),
            ),
        ),
        series=(),
    )


def build_request(rules: Any = None) -> ReportRequest:
    """What the workflow is asked; its source is never read here."""
    table = TableSource(role="accounts", table="accounts", columns={"account": "a"})
    return ReportRequest(
        company="Fermata Instruments Group",
        period=PERIOD,
        currency="EUR",
        sources=(Source(name="erp", kind="sql", url="sqlite:///erp", tables=(table,)),),
        rules=rules,
    )


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    return build_analysis()


@pytest.fixture
def context(tmp_path: Path) -> TaskContext[None]:
    return offline_context(None, folder=tmp_path / "artifacts")


@pytest.fixture(scope="session")
def request_of_report() -> ReportRequest:
    return build_request()
