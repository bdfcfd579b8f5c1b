"""Compares tables that should agree, to the cent: the reconciliations.

Owns the comparisons and what each needs; a comparison that the books do not suffice for says why.
Pure: frames of the documented shape in, differences out. Judges nothing: `anomalies` does.

The comparisons are the usual ones of an audit: double entry (debits equal credits), subledger
against ledger, invoice against lines, payment against invoice, bank statement against payments,
reported against booked figures, and intercompany balances against each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl

from dalsegno_agents.gallery.finance.model import DIFFERENCES_MAX, Difference, Reconciliation
from dalsegno_agents.gallery.finance.sources import PROFIT_AND_LOSS, Role
from dalsegno_agents.gallery.finance.tables import empty

Frames: TypeAlias = Mapping[Role, pl.DataFrame]
Sources: TypeAlias = Mapping[Role, tuple[str, ...]]

LINKED_SHARE_MIN: Final = 0.5
"""Two tables are compared document by document when at least this share of them is in both."""
_KEYS: Final = ("entity", "period", "account", "document")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One reconciliation with its largest differences."""

    reconciliation: Reconciliation
    differences: tuple[Difference, ...] = ()


def compare_all(frames: Frames, sources: Sources) -> list[Comparison]:
    """Every comparison, in a fixed order, whether it could be made or not."""
    return [
        compare(frames, sources)
        for compare in (
            _documents,
            _accounts,
            _balances,
            _invoice_lines,
            _invoices_in_ledger,
            _payments_for_invoices,
            _bank,
            _intercompany,
        )
    ]


def _documents(frames: Frames, sources: Sources) -> Comparison:
    """Debits equal credits within each journal entry (double entry)."""
    check, label = "ledger-documents", "Debits and credits of each journal entry"
    ledger = _of(frames, "ledger").drop_nulls("document")
    if ledger.height == 0:
        return _not_made(check, label, "no ledger with a column `document`")
    if not _has_both_sides(ledger):
        return _not_made(check, label, "the ledger does not hold both sides of its entries")
    amount = pl.col("amount_cents")
    pairs = ledger.group_by("entity", "document").agg(
        pl.col("period").first(),
        left_cents=amount.filter(amount > 0).sum(),
        right_cents=-amount.filter(amount < 0).sum(),
    )
    return _made(check, label, pairs, ("debits", "credits"), _names(sources, "ledger"))


def _has_both_sides(ledger: pl.DataFrame) -> bool:
    profit = pl.col("category").is_in(PROFIT_AND_LOSS)
    return bool(ledger.select(profit.any() & (~profit).any()).item())


def _accounts(frames: Frames, sources: Sources) -> Comparison:
    """Every account of the ledger is known to the chart of accounts."""
    check, label = "ledger-accounts", "Accounts of the ledger in the chart of accounts"
    ledger = _of(frames, "ledger")
    if ledger.height == 0:
        return _not_made(check, label, "no ledger")
    amount = pl.col("amount_cents")
    pairs = ledger.group_by("account").agg(
        left_cents=amount.abs().sum(),
        right_cents=amount.abs().filter(pl.col("category").is_not_null()).sum(),
    )
    return _made(check, label, pairs, ("ledger", "accounts"), _names(sources, "ledger", "accounts"))


def _balances(frames: Frames, sources: Sources) -> Comparison:
    """What the entities report per account and month is what the ledger holds."""
    check, label = "ledger-balances", "Ledger against the reported balances"
    ledger, balances = _of(frames, "ledger"), _of(frames, "balances")
    if ledger.height == 0 or balances.height == 0:
        return _not_made(check, label, "needs a ledger and reported `balances`")
    keys = ["entity", "account", "period"]
    reported = balances.group_by(keys).agg(right_cents=pl.col("amount_cents").sum())
    booked = (
        ledger.join(balances.select("entity", "account").unique(), on=["entity", "account"])
        .join(balances.select("entity", "period").unique(), on=["entity", "period"])
        .group_by(keys)
        .agg(left_cents=pl.col("amount_cents").sum())
    )
    return _made(
        check,
        label,
        _paired(booked, reported, keys),
        ("ledger", "balances"),
        _names(sources, "ledger", "balances"),
    )


def _invoice_lines(frames: Frames, sources: Sources) -> Comparison:
    """The lines of an invoice add up to it."""
    check, label = "invoices-lines", "Invoices against their lines"
    invoices, lines = _of(frames, "invoices"), _of(frames, "invoice_lines")
    if invoices.height == 0 or lines.height == 0:
        return _not_made(check, label, "needs `invoices` and `invoice_lines`")
    with_lines = invoices.join(lines.select("document"), on="document", how="semi")
    itemized = invoices.join(with_lines.select("direction").unique(), on="direction", how="semi")
    pairs = _paired(
        _month_of(itemized)
        .group_by("document")
        .agg(
            pl.col("entity", "period").first(),
            left_cents=pl.col("amount_cents").sum(),
        ),
        lines.group_by("document").agg(right_cents=pl.col("amount_cents").sum()),
        ["document"],
    )
    return _made(
        check,
        label,
        pairs,
        ("invoices", "invoice_lines"),
        _names(sources, "invoices", "invoice_lines"),
    )


def _invoices_in_ledger(frames: Frames, sources: Sources) -> Comparison:
    """Each invoice stands in the ledger's receivables or payables with its amount."""
    check, label = "ledger-invoices", "Ledger against invoices"
    ledger, invoices = _of(frames, "ledger"), _of(frames, "invoices")
    open_items = ledger.filter(pl.col("category").is_in(["receivables", "payables"]))
    booked = (
        open_items.drop_nulls("document")
        .group_by("entity", "document")
        .agg(left_cents=pl.col("amount_cents").sum())
    )
    shared = invoices.join(booked, on=["entity", "document"], how="semi")
    if shared.height == 0 or shared.height < LINKED_SHARE_MIN * invoices.height:
        return _not_made(check, label, "the ledger does not name invoices as its documents")
    pairs = (
        _month_of(invoices)
        .group_by("entity", "document")
        .agg(
            pl.col("period", "direction").first(),
            right_cents=pl.col("amount_cents").sum(),
        )
        .join(booked, on=["entity", "document"], how="left")
        .with_columns(
            pl.when(pl.col("direction") == "purchase")
            .then(-pl.col("left_cents"))
            .otherwise(pl.col("left_cents"))
            .fill_null(0)
            .alias("left_cents")
        )
    )
    return _made(check, label, pairs, ("ledger", "invoices"), _names(sources, "ledger", "invoices"))


def _payments_for_invoices(frames: Frames, sources: Sources) -> Comparison:
    """No invoice is paid that does not exist, and none more than once over."""
    check, label = "payments-invoices", "Payments against the invoices that they settle"
    invoices, payments = _of(frames, "invoices"), _of(frames, "payments")
    paying = payments.drop_nulls("invoice")
    if invoices.height == 0 or paying.height == 0:
        return _not_made(check, label, "needs `invoices`, and `payments` with a column `invoice`")
    pairs = (
        _month_of(paying)
        .group_by("invoice")
        .agg(
            pl.col("entity", "period").last(),
            left_cents=pl.col("amount_cents").sum(),
        )
        .join(
            invoices.group_by("document").agg(invoiced=pl.col("amount_cents").sum()),
            left_on="invoice",
            right_on="document",
            how="left",
        )
        .with_columns(  # paying less is no difference: the rest is open
            pl.min_horizontal("left_cents", pl.col("invoiced").fill_null(0)).alias("right_cents")
        )
        .rename({"invoice": "document"})
    )
    return _made(
        check, label, pairs, ("payments", "invoices"), _names(sources, "payments", "invoices")
    )


def _bank(frames: Frames, sources: Sources) -> Comparison:
    """What we paid and received is what the bank says."""
    check, label = "payments-bank", "Payments against the bank statement"
    payments, bank = _of(frames, "payments"), _of(frames, "bank")
    if payments.height == 0 or bank.height == 0:
        return _not_made(check, label, "needs `payments` and `bank`")
    covered = _month_of(payments).filter(
        pl.col("date").is_between(bank["date"].min(), bank["date"].max())
        & pl.col("entity").is_in(bank["entity"].unique().implode())
    )
    signed = covered.with_columns(
        pl.when(pl.col("direction") == "out")
        .then(-pl.col("amount_cents"))
        .otherwise(pl.col("amount_cents"))
        .alias("amount_cents")
    )
    named = _month_of(bank.drop_nulls("document"))
    shared = covered.join(named, on=["entity", "document"], how="semi")
    linked = shared.height > 0 and shared.height >= LINKED_SHARE_MIN * covered.height
    keys = ["entity", "document"] if linked else ["entity", "period"]
    left, right = (
        frame.group_by(keys).agg(
            *([pl.col("period").first().alias(f"period_{side}")] if linked else []),
            pl.col("amount_cents").sum().alias(f"{side}_cents"),
        )
        for side, frame in (
            ("left", signed),
            ("right", named if linked else _month_of(bank)),
        )
    )
    pairs = _paired(left, right, keys)
    if linked:
        pairs = pairs.with_columns(pl.coalesce("period_left", "period_right").alias("period"))
    return _made(check, label, pairs, ("payments", "bank"), _names(sources, "payments", "bank"))


def _intercompany(frames: Frames, sources: Sources) -> Comparison:
    """What one entity books as income from another, the other books as cost."""
    check, label = "intercompany", "Income and costs between the entities"
    ledger = _of(frames, "ledger")
    between = ledger.filter(
        pl.col("counterparty").is_in(ledger["entity"].unique().implode())
        & pl.col("category").is_in(PROFIT_AND_LOSS)
    )
    if between.height == 0:
        return _not_made(check, label, "the ledger has no entries between entities")
    amount = pl.col("amount_cents")
    pair = (
        pl.min_horizontal("entity", "counterparty"),
        pl.max_horizontal("entity", "counterparty"),
    )
    pairs = between.group_by(pl.concat_str(*pair, separator=" and ").alias("entity"), "period").agg(
        left_cents=-amount.filter(amount < 0).sum(),
        right_cents=amount.filter(amount > 0).sum(),
    )
    return _made(check, label, pairs, ("income", "costs"), _names(sources, "ledger"))


def _of(frames: Frames, role: Role) -> pl.DataFrame:
    found = frames.get(role)
    return empty(role) if found is None else found


def _month_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("date").dt.strftime("%Y-%m").alias("period"))


def _paired(left: pl.DataFrame, right: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Both sides by key; where one has nothing, 0."""
    return left.join(right, on=list(keys), how="full", coalesce=True).with_columns(
        pl.col("left_cents", "right_cents").fill_null(0)
    )


def _names(sources: Sources, *roles: Role) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for role in roles for name in sources.get(role, ())))


def _not_made(check: str, label: str, note: str) -> Comparison:
    return Comparison(
        reconciliation=Reconciliation(
            check=check, label=label, compared=0, differences=0, note=note
        )
    )


def _made(
    check: str,
    label: str,
    pairs: pl.DataFrame,
    sides: tuple[str, str],
    sources: tuple[str, ...],
) -> Comparison:
    off = (pl.col("left_cents") - pl.col("right_cents")).abs()
    keys = [name for name in _KEYS if name in pairs.columns]
    differing = pairs.filter(off > 0).sort(off, *keys, descending=[True, *(False for _ in keys)])
    differences = tuple(
        Difference(
            check=check,
            left=sides[0],
            right=sides[1],
            left_cents=row["left_cents"],
            right_cents=row["right_cents"],
            sources=sources,
            **{name: row[name] or "" for name in keys},
        )
        for row in differing.head(DIFFERENCES_MAX).iter_rows(named=True)
    )
    return Comparison(
        reconciliation=Reconciliation(
            check=check,
            label=label,
            compared=pairs.height,
            differences=differing.height,
            left_cents=int(pairs["left_cents"].sum()),
            right_cents=int(pairs["right_cents"].sum()),
        ),
        differences=differences,
    )
