"""Compliance rules about people: who enters, who approves, and whose data stands in free text.

Each function applies one rule to a case and says what it found. Pure, apart from reading rows.
"""

from collections.abc import Mapping
from typing import Final

import polars as pl

from dalsegno_agents.gallery.finance.compliance.personal_data import (
    NAMES,
    SUSPECT,
    personal_data_in,
)
from dalsegno_agents.gallery.finance.compliance.review_case import (
    Case,
    Outcome,
    in_cents,
    named,
    reference_to,
)
from dalsegno_agents.gallery.finance.compliance.rules import (
    Approvable,
    ApprovalsRule,
    Attributable,
    PersonalDataRule,
    PersonalKind,
    SegregationRule,
)
from dalsegno_agents.gallery.finance.model import Finding, Reference
from dalsegno_agents.gallery.finance.sources import Role

MASKED_TOLD_MAX: Final = 5
_NOUNS: Final[Mapping[Role, tuple[str, str]]] = {
    "ledger": ("journal entry", "journal entries"),
    "invoices": ("invoice", "invoices"),
    "invoice_lines": ("invoice line", "invoice lines"),
    "payments": ("payment", "payments"),
    "purchase_orders": ("purchase order", "purchase orders"),
    "bank": ("bank booking", "bank bookings"),
}


def _noun(role: Role, count: int) -> str:
    singular, plural = _NOUNS.get(role, (f"row of `{role}`", f"rows of `{role}`"))
    return singular if count == 1 else plural


def segregation_of_duties(rule: SegregationRule, case: Case) -> Outcome:
    """Nobody approved what they entered: one finding for each person, entity and table."""
    lacking: dict[Attributable, str] = {
        table: case.lacking(table, "created_by", "approved_by") for table in rule.tables
    }
    present: list[Attributable] = [table for table, reason in lacking.items() if not reason]
    if not present:
        return Outcome(lacking="; ".join(lacking.values()))
    findings: list[Finding] = []
    told: set[str] = set()
    present.sort(key=lambda table: table == "ledger")  # it repeats the documents of the others
    for table in present:
        own = _own_approvals(rule, case, table).filter(~pl.col("document").is_in(list(told)))
        told.update(own["document"].drop_nulls())
        grouped = own.group_by("approved_by", "entity", maintain_order=True)
        for (person, entity), rows in grouped:
            cents = int(rows["amount_cents"].sum())
            count = rows.height
            findings.append(
                case.finding(
                    rule,
                    f"{person} entered and approved {count:,} {_noun(table, count)} of {entity}, "
                    f"{case.money(cents)}{' together' if count > 1 else ''}: "
                    f"{named(rows['document'].drop_nulls())}.",
                    evidence=(reference_to(table, row) for row in rows.iter_rows(named=True)),
                    cents=cents,
                )
            )
    return case.bounded(rule, findings, in_part=_reasons(lacking))


def _reasons(lacking: Mapping[Attributable, str] | Mapping[Approvable, str]) -> str:
    return "; ".join(reason for reason in lacking.values() if reason)


def _own_approvals(rule: SegregationRule, case: Case, table: Attributable) -> pl.DataFrame:
    """The documents that one person entered and approved, the largest first."""
    frame = case.rows(table).filter(_same_person())
    exempt = [_plain_name(name) for name in rule.except_people]
    frame = frame.filter(~_plain(pl.col("approved_by")).is_in(exempt))
    if table == "ledger":
        debits = pl.col("amount_cents").filter(pl.col("amount_cents") > 0).sum()
        frame = frame.group_by("document", "entity", "approved_by").agg(
            debits, pl.col("period", "account", "counterparty").first()
        )
    return frame.filter(pl.col("amount_cents").abs() >= in_cents(rule.above)).sort(
        pl.col("amount_cents").abs(), "document", descending=[True, False]
    )


def _same_person() -> pl.Expr:
    approver = _plain(pl.col("approved_by"))
    return (approver != "") & (approver == _plain(pl.col("created_by")))


def _plain(name: pl.Expr) -> pl.Expr:
    return name.str.strip_chars().str.to_lowercase()


def _plain_name(name: str) -> str:
    return name.strip().lower()


def approvals(rule: ApprovalsRule, case: Case) -> Outcome:
    """Large orders, payments and purchase invoices have an approval: one finding for each."""
    lacking: dict[Approvable, str] = {
        table: case.lacking(table, "approved_by") for table in rule.limits
    }
    present: list[Approvable] = [table for table, reason in lacking.items() if not reason]
    if not present:
        return Outcome(lacking="; ".join(lacking.values()))
    return case.bounded(
        rule,
        [finding for table in present for finding in _unapproved(rule, case, table)],
        in_part=_reasons(lacking),
    )


def _unapproved(rule: ApprovalsRule, case: Case, table: Approvable) -> list[Finding]:
    limit = in_cents(rule.limits[table])
    frame = case.rows(table).filter(pl.col("amount_cents") > limit)
    match table:
        case "payments":
            frame = frame.filter(pl.col("direction") == "out")
        case "invoices":
            frame = frame.filter(pl.col("direction") == "purchase")
        case "purchase_orders":
            pass
    nobody = _plain(pl.col("approved_by")).fill_null("") == ""
    own = _same_person().fill_null(value=False) if rule.own_approvals else pl.lit(value=False)
    found = frame.with_columns(own.alias("own")).filter(nobody | pl.col("own"))
    found = found.sort("amount_cents", "document", descending=[True, False])
    grave = None if rule.critical_above is None else in_cents(rule.critical_above)
    findings: list[Finding] = []
    for row in found.iter_rows(named=True):
        cents = row["amount_cents"]
        kind = _noun(table, 1)
        party = f" {'from' if table == 'invoices' else 'to'} {row['counterparty']}"
        state = "was approved by whoever entered it" if row["own"] else "has no approval"
        findings.append(
            case.finding(
                rule,
                f"{kind[0].upper()}{kind[1:]} {row['document']} of {row['entity']}"
                f"{party if row['counterparty'] else ''} over {case.money(cents)} {state}; above "
                f"{case.money(limit)} one is needed.",
                evidence=(reference_to(table, row),),
                cents=cents,
                severity="critical" if grave is not None and cents > grave else None,
            )
        )
    return findings


def personal_data(rule: PersonalDataRule, case: Case) -> Outcome:
    """Free text holds no personal data: one finding for each table and kind, all masked."""
    lacking: dict[tuple[Role, str], str] = {
        (table, column): case.lacking(table, column)
        for table, columns in rule.columns.items()
        for column in columns
    }
    present = [place for place, reason in lacking.items() if not reason]
    if not present:
        return Outcome(lacking="; ".join(dict.fromkeys(lacking.values())))
    findings: list[Finding] = []
    for table, column in present:
        found: dict[PersonalKind, tuple[list[str], dict[Reference, None]]] = {}
        suspects = case.rows(table).filter(pl.col(column).str.contains(SUSPECT))
        for row in suspects.iter_rows(named=True):
            for match in personal_data_in(row[column]):
                if match.kind in rule.kinds:
                    masked, places = found.setdefault(match.kind, ([], {}))
                    masked.append(match.masked)
                    places[_of_document(table, row)] = None
        for kind, (masked, places) in found.items():
            distinct = list(dict.fromkeys(masked))
            what = NAMES[kind][0] if len(distinct) == 1 else f"{len(distinct)} {NAMES[kind][1]}"
            more = ", …" if len(distinct) > MASKED_TOLD_MAX else ""
            count = len(places)
            findings.append(
                case.finding(
                    rule,
                    f"The {column} of {count:,} {_noun(table, count)} "
                    f"({named(place.document for place in places)}) holds {what}: "
                    f"{', '.join(distinct[:MASKED_TOLD_MAX])}{more}.",
                    evidence=places,
                )
            )
    return case.bounded(rule, findings)


def _of_document(table: Role, row: dict[str, object]) -> Reference:
    """Without account and counterparty, so that the lines of an entry are one place."""
    place = reference_to(table, row)
    return place.model_copy(update={"account": "", "counterparty": ""}) if place.document else place
