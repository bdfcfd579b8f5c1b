"""Tests of single documents: entered twice, wrong sign, unknown partner, round, too late.

These are the usual tests of journal entries and subledgers (AICPA, *Guide to Audit Data Analytics*,
2017; Nigrini, *Forensic Analytics*, 2nd ed. 2020: same-same-same test, round numbers). Pure.
"""

import math
from datetime import timedelta
from typing import Any, Final

import polars as pl

from dalsegno_agents.gallery.finance.analysis.evidence import (
    Detected,
    Evidence,
    left_out,
    passed,
    row_reference,
)
from dalsegno_agents.gallery.finance.model import Anomaly
from dalsegno_agents.gallery.finance.sources import PROFIT_AND_LOSS

NEAR_DAYS: Final = 3
"""Without a reference to go by, equal documents this close together count as entered twice."""
LINES_MIN: Final = 12
"""An account with fewer lines has no usual side."""
OPPOSITE_SHARE_MAX: Final = 0.05
OPPOSITE_LINES_MAX: Final = 3
"""More lines on the other side than this are a habit and not a slip."""
ROUND_CENTS: Final = 100_000
ROUND_PAYMENTS_MIN: Final = 3
ROUND_CHANCE_MAX: Final = 0.001
"""A partner's round payments are flagged when chance gives so many less often than this."""
UNKNOWN_SHARE_MAX: Final = 0.5


def duplicate_invoices(evidence: Evidence) -> Detected:
    """The same invoice entered twice: same partner and amount, and the same number or days."""
    check, label = "duplicate-invoices", "Invoices entered twice"
    invoices = evidence.table("invoices").filter(pl.col("amount_cents") > 0)
    if invoices.height == 0:
        return left_out(check, label, "the books have no invoices")
    keyed = invoices.with_columns(
        number=pl.col("reference").str.to_uppercase().str.replace_all(r"[^\p{L}\p{N}]", "")
    )
    same = ["entity", "direction", "counterparty", "amount_cents"]
    groups = [
        *_groups(keyed.filter(pl.col("number").str.len_chars() > 0), [*same, "number"]),
        *_close(keyed.filter(pl.col("number").is_null()), same),
        *_groups(keyed, ["entity", "direction", "document"]),
    ]
    return passed(
        check,
        label,
        "same partner and amount, and the same number (blanks and signs aside) or, without one, "
        f"within {NEAR_DAYS} days (same-same-same test, Nigrini 2020)",
        invoices.height,
        _duplicates(evidence, groups, "invoices", check),
    )


def duplicate_payments(evidence: Evidence) -> Detected:
    """The same payment made twice: equal amounts that add up to more than their invoice."""
    check, label = "duplicate-payments", "Payments made twice"
    payments = evidence.table("payments").filter(pl.col("amount_cents") > 0)
    if payments.height == 0:
        return left_out(check, label, "the books have no payments")
    invoiced = (
        evidence.table("invoices")
        .group_by("document")
        .agg(invoiced=pl.col("amount_cents").sum())
        .rename({"document": "invoice"})
    )
    settling = payments.drop_nulls("invoice").join(invoiced, on="invoice", how="left")
    paid = pl.col("amount_cents").sum().over("entity", "invoice", "direction")
    over = settling.filter(paid > pl.col("invoiced").fill_null(pl.col("amount_cents")))
    groups = [
        *_groups(over, ["entity", "direction", "invoice", "amount_cents"]),
        *_close(
            payments.filter(pl.col("invoice").is_null()),
            ["entity", "direction", "counterparty", "amount_cents"],
        ),
    ]
    return passed(
        check,
        label,
        "equal payments for one invoice that exceed it or, without an invoice, to one partner "
        f"within {NEAR_DAYS} days",
        payments.height,
        _duplicates(evidence, groups, "payments", check),
    )


def _groups(frame: pl.DataFrame, keys: list[str]) -> list[pl.DataFrame]:
    repeated = frame.drop_nulls(keys).filter(pl.len().over(keys) > 1)
    return repeated.sort("date", "document").partition_by(keys, maintain_order=True)


def _close(frame: pl.DataFrame, keys: list[str]) -> list[pl.DataFrame]:
    """Groups of equal rows in which each is within `NEAR_DAYS` of the one before."""
    repeated = frame.drop_nulls(keys).filter(pl.len().over(keys) > 1).sort("date", "document")
    gap = pl.col("date").diff().over(keys)
    near = repeated.with_columns(
        run=(gap.is_null() | (gap > timedelta(days=NEAR_DAYS))).cum_sum().over(keys)
    )
    return _groups(near, [*keys, "run"])


def _duplicates(
    evidence: Evidence, groups: list[pl.DataFrame], table: str, method: str
) -> list[Anomaly]:
    found: list[Anomaly] = []
    told: set[str] = set()
    for group in groups:
        rows = group.to_dicts()
        documents = [str(row["document"]) for row in rows]
        if told.issuperset(documents):
            continue
        told.update(documents)
        amount, extra = rows[0]["amount_cents"], len(rows) - 1
        references = [row_reference(table, row) for row in rows]
        settled = rows[0].get("invoice")
        if settled:
            references.append(row_reference("invoices", rows[0] | {"document": settled}))
        days = (rows[-1]["date"] - rows[0]["date"]).days
        what = f"for {settled}" if settled else f"with {rows[0]['counterparty'] or 'one partner'}"
        times = "twice" if extra == 1 else f"{len(rows)} times"
        found.append(
            evidence.anomaly(
                "duplicate",
                method,
                f"{', '.join(dict.fromkeys(documents))}: {evidence.money(amount)} {what}, "
                f"{times} within {days} days.",
                references,
                cents=amount * extra,
                score=float(len(rows)),
                entity=rows[0]["entity"],
                period=f"{rows[-1]['date']:%Y-%m}",
                at_least="medium",
            )
        )
    return found


def wrong_signs(evidence: Evidence) -> Detected:
    """Lines on the side of their account where no other line is, credit notes aside."""
    check, label = "wrong-signs", "Entries with the wrong sign"
    ledger = evidence.table("ledger").filter(
        pl.col("category").is_in(PROFIT_AND_LOSS) & (pl.col("amount_cents") != 0)
    )
    invoices = evidence.table("invoices")
    if ledger.height == 0 and invoices.height == 0:
        return left_out(check, label, "the books have neither a ledger nor invoices")
    credit_note = pl.col("kind") == "credit_note"
    notes = invoices.filter(credit_note | (pl.col("amount_cents") < 0))
    positive = pl.col("amount_cents") > 0
    sides = (
        ledger.join(notes, on=["entity", "document"], how="anti")
        .with_columns(positive=positive)
        .with_columns(
            lines=pl.len().over("entity", "account"),
            debits=pl.col("positive").sum().over("entity", "account"),
        )
        .with_columns(
            opposite=pl.min_horizontal(pl.col("debits"), pl.col("lines") - pl.col("debits")),
            rare=pl.col("positive") == (2 * pl.col("debits") < pl.col("lines")),
        )
    )
    slips = sides.filter(
        pl.col("rare")
        & (pl.col("lines") >= LINES_MIN)
        & (pl.col("opposite") <= OPPOSITE_LINES_MAX)
        & (pl.col("opposite") <= OPPOSITE_SHARE_MAX * pl.col("lines"))
    )
    mismarked = invoices.filter(
        (credit_note & (pl.col("amount_cents") > 0))
        | ((pl.col("kind") == "invoice") & (pl.col("amount_cents") < 0))
    )
    found = [
        *(_slip(evidence, row, check) for row in slips.iter_rows(named=True)),
        *(_mismarked(evidence, row, check) for row in mismarked.iter_rows(named=True)),
    ]
    return passed(
        check,
        label,
        f"at most {OPPOSITE_LINES_MAX} lines (and {OPPOSITE_SHARE_MAX:.0%}) on the other side of "
        "an account with a usual side, without credit notes",
        ledger.height + invoices.height,
        found,
    )


def _slip(evidence: Evidence, row: dict[str, Any], method: str) -> Anomaly:
    cents = abs(row["amount_cents"])
    side, usual = ("debit", "credit") if row["positive"] else ("credit", "debit")
    return evidence.anomaly(
        "wrong_sign",
        method,
        f"{row['document'] or 'A line'} posts {evidence.money(cents)} to the {side} of account "
        f"{row['account']} in {row['entity']}, where {row['lines'] - row['opposite']} of "
        f"{row['lines']} lines are on the {usual} side.",
        [row_reference("ledger", row)],
        cents=2 * cents,  # put right, the balance moves by twice the amount
        score=row["lines"] / max(1, row["opposite"]) * OPPOSITE_SHARE_MAX,
        entity=row["entity"],
        period=row["period"],
        at_least="medium",
    )


def _mismarked(evidence: Evidence, row: dict[str, Any], method: str) -> Anomaly:
    cents = row["amount_cents"]
    return evidence.anomaly(
        "wrong_sign",
        method,
        f"{row['document']} is called {str(row['kind']).replace('_', ' ')} and has the amount "
        f"{evidence.money(cents)}.",
        [row_reference("invoices", row)],
        cents=2 * abs(cents),
        entity=row["entity"],
        period=f"{row['date']:%Y-%m}",
        at_least="medium",
    )


def unknown_counterparties(evidence: Evidence) -> Detected:
    """Business with somebody who is not in the master records."""
    check, label = "unknown-counterparties", "Business with unknown partners"
    known = evidence.table("counterparties")
    parts = [
        evidence.table(role).select(
            pl.lit(role).alias("table"),
            "entity",
            "document",
            "counterparty",
            pl.col("amount_cents").abs(),
            (pl.col("period") if role == "ledger" else pl.col("date").dt.strftime("%Y-%m")).alias(
                "period"
            ),
        )
        for role in ("payments", "invoices", "purchase_orders", "ledger")
    ]
    business = pl.concat(parts).drop_nulls("counterparty")
    if known.height == 0 or business.height == 0:
        return left_out(check, label, "needs `counterparties`, and documents that name them")
    named = [*known["counterparty"], *evidence.entities]
    strangers = business.filter(~pl.col("counterparty").is_in(named))
    partners = business["counterparty"].n_unique()
    if strangers["counterparty"].n_unique() > UNKNOWN_SHARE_MAX * partners:
        return left_out(check, label, "most documents name partners by another id than the records")
    found: list[Anomaly] = []
    for group in strangers.partition_by("counterparty", maintain_order=True):
        rows = group.to_dicts()
        table = rows[0]["table"]  # payments before invoices before the rest: money that left
        cents = int(group.filter(pl.col("table") == table)["amount_cents"].sum())
        found.append(
            evidence.anomaly(
                "unknown_counterparty",
                check,
                f"{rows[0]['counterparty']} is not in the master records, and {table} of "
                f"{evidence.money(cents)} name it in {rows[0]['entity']}.",
                [row_reference(row["table"], row) for row in rows],
                cents=cents,
                score=float(len(rows)),
                entity=rows[0]["entity"],
                period=rows[0]["period"],
                at_least="high",
            )
        )
    return passed(check, label, "every partner is in the master records", business.height, found)


def round_payments(evidence: Evidence) -> Detected:
    """Several payments of whole thousands to one partner, none for an invoice."""
    check, label = "round-payments", "Payments of round sums without an invoice"
    sent = evidence.table("payments").filter(
        (pl.col("direction") == "out") & (pl.col("amount_cents") > 0)
    )
    if sent.height == 0:
        return left_out(check, label, "the books have no payments that were sent")
    even = (pl.col("amount_cents") % ROUND_CENTS == 0).alias("even")
    total, total_even = sent.height, int(sent.select(even.sum()).item())
    found: list[Anomaly] = []
    for group in sent.with_columns(even).partition_by("entity", "counterparty"):
        loose = group.filter(pl.col("even") & pl.col("invoice").is_null()).sort("date")
        if loose.height < ROUND_PAYMENTS_MIN:
            continue
        of_partner = int(group["even"].sum())
        rate = (total_even - of_partner + 1) / (total - group.height + 1)
        chance = _at_least(loose.height, group.height, rate)
        if chance > ROUND_CHANCE_MAX:
            continue
        rows = loose.to_dicts()
        cents = int(loose["amount_cents"].sum())
        found.append(
            evidence.anomaly(
                "round_amounts",
                check,
                f"{loose.height} payments of whole thousands, {evidence.money(cents)} together, "
                f"went to {rows[0]['counterparty'] or 'nobody named'} from {rows[0]['entity']} "
                "without an invoice.",
                [row_reference("payments", row) for row in rows],
                cents=cents,
                score=math.log10(max(chance, 1e-300)) / math.log10(ROUND_CHANCE_MAX),
                entity=rows[0]["entity"],
                period=f"{rows[0]['date']:%Y-%m}",
                at_least="medium",
            )
        )
    return passed(
        check,
        label,
        f"at least {ROUND_PAYMENTS_MIN} payments of whole thousands to one partner, more than "
        f"chance gives once in {1 / ROUND_CHANCE_MAX:,.0f} (binomial; round numbers test, "
        "Nigrini 2020)",
        sent.height,
        found,
    )


def _at_least(count: int, trials: int, rate: float) -> float:
    """The chance of `count` or more successes (binomial); by logarithms, for large numbers."""
    if rate >= 1:
        return 1.0
    total = 0.0
    for hits in range(count, trials + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
        term = math.exp(ways + hits * math.log(rate) + (trials - hits) * math.log1p(-rate))
        total += term
        if hits > trials * rate and term < total * 1e-12:
            break
    return min(total, 1.0)


def late_postings(evidence: Evidence) -> Detected:
    """Entries that were posted into a month after it was closed."""
    check, label = "late-postings", "Entries posted after the month was closed"
    ledger = evidence.table("ledger").drop_nulls("posted_on")
    closings = evidence.table("closings")
    if ledger.height == 0 or closings.height == 0:
        return left_out(check, label, "needs `closings`, and a ledger with a column `posted_on`")
    everywhere = closings.filter(pl.col("entity").is_null()).select(
        "period", everywhere="closed_on"
    )
    own = closings.drop_nulls("entity").select("entity", "period", own="closed_on")
    late = (
        ledger.join(everywhere, on="period", how="left")
        .join(own, on=["entity", "period"], how="left")
        .with_columns(closed_on=pl.coalesce("own", "everywhere"))
        .filter(pl.col("posted_on") > pl.col("closed_on"))
    )
    found: list[Anomaly] = []
    for group in late.partition_by("entity", "period", "document", maintain_order=True):
        rows = group.to_dicts()
        cents = int(group.filter(pl.col("amount_cents") > 0)["amount_cents"].sum())
        first = rows[0]
        days = (first["posted_on"] - first["closed_on"]).days
        found.append(
            evidence.anomaly(
                "late_posting",
                check,
                f"{first['document'] or 'An entry'} over {evidence.money(cents)} was posted into "
                f"{first['period']} on {first['posted_on']}, {days} days after the month was "
                "closed.",
                [row_reference("ledger", row) for row in rows],
                cents=cents,
                score=float(days),
                entity=first["entity"],
                period=first["period"],
                at_least="medium",
            )
        )
    return passed(
        check, label, "the day of posting is not after the day of closing", ledger.height, found
    )
