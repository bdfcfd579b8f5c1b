"""Compliance rules about the books as a whole: balance, agreement, completeness, timeliness.

Each function applies one rule to a case and says what it found. Pure, apart from reading rows.
"""

from typing import Final

import polars as pl

from dalsegno_agents.gallery.finance.compliance.review_case import (
    GRAVITY,
    Case,
    Outcome,
    in_cents,
    named,
    reference_to,
)
from dalsegno_agents.gallery.finance.compliance.rules import (
    AnomaliesRule,
    BalanceRule,
    LatePostingsRule,
    MaterialityRule,
    MissingPeriodsRule,
    Monthly,
    ReconciliationRule,
)
from dalsegno_agents.gallery.finance.model import DIFFERENCES_MAX, Difference, Finding, Reference
from dalsegno_agents.gallery.finance.summary.facts import KIND_NAMES
from dalsegno_agents.gallery.finance.units import months_of

DOCUMENTS: Final = "ledger-documents"
"""The comparison of debits and credits within each journal entry."""


def balance(rule: BalanceRule, case: Case) -> Outcome:
    """Debits equal credits: within each entry, or else within each entity and month."""
    lacking = case.lacking("ledger")
    if lacking:
        return Outcome(lacking=lacking)
    tolerance = in_cents(rule.tolerance)
    by_entry = next((one for one in case.books.reconciliations if one.check == DOCUMENTS), None)
    if by_entry is not None and by_entry.compared:
        return case.bounded(
            rule,
            [
                _unbalanced_entry(rule, case, one)
                for one in case.books.differences
                if one.check == DOCUMENTS and abs(one.amount_cents) > tolerance
            ],
        )
    sums = (
        case.rows("ledger")
        .group_by("entity", "period")
        .agg(pl.col("amount_cents").sum(), (pl.col("amount_cents") < 0).any().alias("credits"))
        .sort("entity", "period")
    )
    if not sums["credits"].any():
        return Outcome(lacking="the ledger holds one side of its entries only")
    return case.bounded(
        rule,
        [
            case.finding(
                rule,
                f"The entries of {row['entity']} in {row['period']} do not balance: debits and "
                f"credits differ by {case.money(abs(row['amount_cents']))}.",
                evidence=(reference_to("ledger", row),),
                cents=abs(row["amount_cents"]),
            )
            for row in sums.filter(pl.col("amount_cents").abs() > tolerance).iter_rows(named=True)
        ],
    )


def _unbalanced_entry(rule: BalanceRule, case: Case, one: Difference) -> Finding:
    cents = abs(one.amount_cents)
    return case.finding(
        rule,
        f"Journal entry {one.document} of {one.entity} ({one.period}) has debits of "
        f"{case.money(one.left_cents)} and credits of {case.money(one.right_cents)}; they differ "
        f"by {case.money(cents)}.",
        evidence=(_place("ledger", one),),
        cents=cents,
    )


def _place(table: str, one: Difference) -> Reference:
    return Reference(
        table=table,
        document=one.document,
        entity=one.entity,
        period=one.period,
        account=one.account,
    )


def reconciliation(rule: ReconciliationRule, case: Case) -> Outcome:
    """Every comparison of the sources came out even: one finding for each that did not."""
    made = [
        one
        for one in case.books.reconciliations
        if one.compared and one.check not in rule.except_checks
    ]
    if not made:
        return Outcome(lacking="no two sources could be compared")
    tolerance = in_cents(rule.tolerance)
    all_listed = len(case.books.differences) < DIFFERENCES_MAX
    findings: list[Finding] = []
    for one in made:
        off = [
            difference
            for difference in case.books.differences
            if difference.check == one.check and abs(difference.amount_cents) > tolerance
        ]
        if not off:
            continue
        cents = sum(abs(difference.amount_cents) for difference in off)
        count = len(off) if all_listed else max(len(off), one.differences)
        places = named(dict.fromkeys(_where(difference) for difference in off))
        findings.append(
            case.finding(
                rule,
                f"{one.label}: {count:,} of {one.compared:,} {_differ(count)}, by "
                f"{case.money(cents)} in all ({places}).",
                evidence=(_place(difference.left, difference) for difference in off),
                cents=cents,
            )
        )
    return case.bounded(rule, findings)


def _differ(count: int) -> str:
    return "differs" if count == 1 else "differ"


def _where(one: Difference) -> str:
    return one.document or " ".join(filter(None, (one.entity, one.account, one.period)))


def materiality(rule: MaterialityRule, case: Case) -> Outcome:
    """What is wrong in money, taken together, is below the materiality."""
    limit = case.material_cents
    if limit is None:
        return Outcome(lacking=f"the analysis has no {case.materiality.basis} of the group")
    wrong = [
        one
        for one in case.analysis.anomalies
        if one.kind in rule.kinds and one.amount_cents is not None
    ]
    cents = sum(one.amount_cents or 0 for one in wrong)
    if cents < limit:
        return Outcome()
    share = f"{case.materiality.share * 100:g} % of the last four quarters' "
    basis = case.materiality.basis.replace("_", " ")
    finding = case.finding(
        rule,
        f"{len(wrong)} anomalies come to {case.money(cents)} together, which reaches the "
        f"materiality of {case.money(limit)} ({share}{basis}).",
        evidence=(one.evidence[0] for one in wrong if one.evidence),
        cents=cents,
    )
    return Outcome(findings=(finding,))


def missing_periods(rule: MissingPeriodsRule, case: Case) -> Outcome:
    """Each entity has rows in every month, from its first one to the end of the quarter."""
    present: list[Monthly] = [table for table in rule.tables if not case.lacking(table)]
    if not present:
        return Outcome(lacking=f"the books have none of the tables {', '.join(rule.tables)}")
    last = months_of(case.analysis.period)[-1]
    months = [month for month in case.books.periods if month <= last]
    findings: list[Finding] = []
    for table in present:
        for entity, found in _months_by_entity(case.rows(table)).items():
            missing = [month for month in months if month > min(found) and month not in found]
            if missing:
                findings.append(
                    case.finding(
                        rule,
                        f"The table `{table}` has no row of {entity} in {named(missing)}.",
                        evidence=(
                            Reference(table=table, entity=entity, period=month) for month in missing
                        ),
                    )
                )
    return case.bounded(rule, findings)


def _months_by_entity(frame: pl.DataFrame) -> dict[str, set[str]]:
    month = pl.col("date").dt.strftime("%Y-%m") if "date" in frame.columns else pl.lit(None)
    if "period" in frame.columns:
        month = pl.coalesce("period", month)
    pairs = frame.select("entity", month.alias("month")).drop_nulls().unique()
    found: dict[str, set[str]] = {}
    for entity, name in pairs.sort("entity", "month").iter_rows():
        found.setdefault(entity, set()).add(name)
    return found


def late_postings(rule: LatePostingsRule, case: Case) -> Outcome:
    """Nothing was posted into a month after its close: one finding for each late entry."""
    lacking = case.lacking("ledger", "posted_on") or case.lacking("closings")
    if lacking:
        return Outcome(lacking=lacking)
    closings = case.rows("closings").group_by("entity", "period").agg(pl.col("closed_on").max())
    of_all = closings.filter(pl.col("entity").is_null()).select("period", closed="closed_on")
    days = (pl.col("posted_on") - pl.coalesce("closed_on", "closed")).dt.total_days()
    late = (
        case.rows("ledger")
        .join(closings.drop_nulls("entity"), on=["entity", "period"], how="left")
        .join(of_all, on="period", how="left")
        .with_columns(days.alias("days"))
        .filter(pl.col("days") > rule.grace_days)
        .group_by("entity", "period", "document", "posted_on", "days")
        .agg(pl.col("amount_cents").filter(pl.col("amount_cents") > 0).sum())
        .filter(pl.col("amount_cents") >= in_cents(rule.above))
        .sort(
            "amount_cents", "entity", "period", "document", descending=[True, False, False, False]
        )
    )
    return case.bounded(
        rule,
        [
            case.finding(
                rule,
                f"{row['entity']} posted {row['document'] or 'an entry'} "
                f"({case.money(row['amount_cents'])}) into {row['period']} on "
                f"{row['posted_on']:%Y-%m-%d}, {row['days']} days after the close of that month.",
                evidence=(reference_to("ledger", row),),
                cents=row["amount_cents"],
            )
            for row in late.iter_rows(named=True)
        ],
    )


def anomalies(rule: AnomaliesRule, case: Case) -> Outcome:
    """What the analysis found of the rule's kinds, from `at_least` on."""
    grave = GRAVITY[: GRAVITY.index(rule.at_least) + 1]
    return case.bounded(
        rule,
        [
            case.finding(
                rule,
                one.explanation,
                evidence=one.evidence,
                cents=one.amount_cents,
                severity=one.severity if rule.severity == "as_found" else None,
                title=f"{rule.title}: {KIND_NAMES[one.kind].lower()}",
            )
            for one in case.analysis.anomalies
            if one.kind in rule.kinds and one.severity in grave
        ],
    )
