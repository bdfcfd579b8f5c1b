"""Key figures of each quarter, for each entity and the group.

Owns the definitions: a formula over named operands, from which the value is computed, so that a
figure and its formula cannot disagree. Pure: a ledger in, figures out.

Definitions follow the usual ones of financial statement analysis (for instance CFA Institute,
*Financial Reporting and Analysis*): operating income is revenue less cost of goods sold, operating
expenses and depreciation; EBITDA adds depreciation back; DSO and DPO put the balance at the
quarter's end against the quarter's revenue and cost of goods sold.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import polars as pl

from dalsegno_agents.gallery.finance.model import GROUP, Figure, Kpi, Omission
from dalsegno_agents.gallery.finance.reading.compare import Frames
from dalsegno_agents.gallery.finance.sources import (
    CREDIT_CATEGORIES,
    CURRENT_ASSETS,
    CURRENT_LIABILITIES,
    Category,
)
from dalsegno_agents.gallery.finance.units import Number, Unit, days_of, months_of

RATIO_DIGITS: Final = 6
"""Ratios, days and times are rounded to this many digits after the point; cents never are."""
Sums: TypeAlias = Mapping[tuple[str, str, str], int]
"""Cents as people read them, by entity, category and period."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One key figure."""

    kpi: Kpi
    label: str
    unit: Unit
    formula: str
    """Over operands that `Operands` knows."""
    needs: tuple[Category, ...] = ()
    """Categories that must occur; for `any_of` one of them is enough."""
    any_of: tuple[tuple[Category, ...], ...] = ()
    budget: bool = False


_OPERATING: Final = "revenue_cents - cogs_cents - opex_cents - depreciation_cents"
_OUTSIDE: Final = (
    "outside_revenue_cents - outside_cogs_cents - outside_opex_cents - outside_depreciation_cents"
)
_PLANNED: Final = (
    "budget_revenue_cents - budget_cogs_cents - budget_opex_cents - budget_depreciation_cents"
)
DEFINITIONS: Final = (
    Definition(
        kpi="revenue",
        label="Revenue",
        unit="cents",
        formula="revenue_credits_cents - revenue_debits_cents",
        needs=("revenue",),
    ),
    Definition(
        kpi="gross_profit",
        label="Gross profit",
        unit="cents",
        formula="revenue_cents - cogs_cents",
        needs=("revenue", "cogs"),
    ),
    Definition(
        kpi="gross_margin",
        label="Gross margin",
        unit="ratio",
        formula="(revenue_cents - cogs_cents) / revenue_cents",
        needs=("revenue", "cogs"),
    ),
    Definition(
        kpi="operating_income",
        label="Operating income",
        unit="cents",
        formula=_OPERATING,
        needs=("revenue", "opex"),
    ),
    Definition(
        kpi="operating_margin",
        label="Operating margin",
        unit="ratio",
        formula=f"({_OPERATING}) / revenue_cents",
        needs=("revenue", "opex"),
    ),
    Definition(
        kpi="ebitda",
        label="EBITDA",
        unit="cents",
        formula="revenue_cents - cogs_cents - opex_cents",
        needs=("revenue", "opex"),
    ),
    Definition(
        kpi="net_income",
        label="Net income",
        unit="cents",
        formula=f"{_OPERATING} + other_income_cents - interest_cents - tax_cents",
        needs=("revenue", "opex"),
        any_of=(("tax", "interest", "other_income"),),
    ),
    Definition(
        kpi="dso",
        label="Days sales outstanding",
        unit="days",
        formula="closing_receivables_cents / revenue_cents * days",
        needs=("revenue", "receivables"),
    ),
    Definition(
        kpi="dpo",
        label="Days payables outstanding",
        unit="days",
        formula="closing_payables_cents / cogs_cents * days",
        needs=("cogs", "payables"),
    ),
    Definition(
        kpi="current_ratio",
        label="Current ratio",
        unit="times",
        formula="current_assets_cents / current_liabilities_cents",
        any_of=(CURRENT_ASSETS, CURRENT_LIABILITIES),
    ),
    Definition(
        kpi="cash",
        label="Cash at the end of the quarter",
        unit="cents",
        formula="closing_cash_cents",
        needs=("cash",),
    ),
    Definition(
        kpi="budget_revenue",
        label="Budgeted revenue",
        unit="cents",
        formula="budget_revenue_cents",
        budget=True,
    ),
    Definition(
        kpi="budget_variance",
        label="Revenue against budget",
        unit="ratio",
        formula="(outside_revenue_cents - budget_revenue_cents) / budget_revenue_cents",
        needs=("revenue",),
        budget=True,
    ),
    Definition(
        kpi="budget_operating_income",
        label="Budgeted operating income",
        unit="cents",
        formula=_PLANNED,
        budget=True,
    ),
    Definition(
        kpi="budget_variance_operating_income",
        label="Operating income against budget",
        unit="cents",
        formula=f"({_OUTSIDE}) - ({_PLANNED})",
        needs=("revenue", "opex"),
        budget=True,
    ),
)
"""What is computed. Budgets are compared with what is earned outside the group, because budgets
name no counterparty from which business between the entities could be told."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The ledger and the budget added up, ready for formulas."""

    flows: Sums
    """By month: each entity, and the group without what its entities do with one another."""
    outside: Sums
    """By month: each entity's own, without the others; for the group the same as `flows`."""
    budget: Sums
    credits: Sums
    """The credit side of `flows` (positive)."""
    categories: frozenset[str]
    has_budget: bool


def measured(frames: Frames, entities: Sequence[str]) -> Measures:
    """Add up ledger and budget by entity, category and month."""
    ledger = frames.get("ledger")
    budget = frames.get("budget")
    if ledger is None:
        return Measures(
            flows={}, outside={}, budget={}, credits={}, categories=frozenset(), has_budget=False
        )
    known = ledger.filter(pl.col("category").is_not_null())
    own = pl.col("counterparty").is_in(list(entities)).fill_null(False)
    outside = known.filter(~own)
    with_group = pl.concat([known, outside.with_columns(entity=pl.lit(GROUP))])
    outside_with_group = pl.concat([outside, outside.with_columns(entity=pl.lit(GROUP))])
    planned: Sums = {}
    if budget is not None:
        plan = budget.filter(pl.col("category").is_not_null())
        planned = _sums(pl.concat([plan, plan.with_columns(entity=pl.lit(GROUP))]))
    return Measures(
        flows=_sums(with_group),
        outside=_sums(outside_with_group),
        budget=planned,
        credits=_sums(
            with_group.filter((pl.col("category") == "revenue") & (pl.col("amount_cents") < 0))
        ),
        categories=frozenset(known["category"].unique()),
        has_budget=budget is not None and budget.height > 0,
    )


def _sums(frame: pl.DataFrame) -> dict[tuple[str, str, str], int]:
    natural = (
        pl.when(pl.col("category").is_in(CREDIT_CATEGORIES))
        .then(-pl.col("amount_cents"))
        .otherwise(pl.col("amount_cents"))
    )
    sums = frame.group_by("entity", "category", "period").agg(natural.sum().alias("cents"))
    return {
        (entity, category, period): cents
        for entity, category, period, cents in sums.select(
            "entity", "category", "period", "cents"
        ).iter_rows()
    }


class Operands:
    """Finds the operand of a formula by its name, for one entity and quarter."""

    def __init__(
        self, measures: Measures, periods: Sequence[str], entity: str, quarter: str
    ) -> None:
        self._measures = measures
        self._entity = entity
        self._quarter = quarter
        self._months = months_of(quarter)
        self._until = tuple(period for period in periods if period <= self._months[-1])

    def __getitem__(self, name: str) -> Number:
        if name == "days":
            return days_of(self._quarter)
        stem = name.removesuffix("_cents")
        match stem.split("_")[0]:
            case "closing":
                return self._balance(stem.removeprefix("closing_"))
            case "current":
                categories = CURRENT_ASSETS if stem == "current_assets" else CURRENT_LIABILITIES
                return sum(map(self._balance, categories))
            case "budget":
                return self._sum(self._measures.budget, stem.removeprefix("budget_"), self._months)
            case "outside":
                return self._sum(
                    self._measures.outside, stem.removeprefix("outside_"), self._months
                )
            case _:
                return self._flow(stem)

    def _flow(self, stem: str) -> int:
        credited = self._sum(self._measures.credits, "revenue", self._months)
        if stem == "revenue_credits":
            return credited
        flow = self._sum(self._measures.flows, stem.removesuffix("_debits"), self._months)
        return credited - flow if stem == "revenue_debits" else flow

    def _balance(self, category: str) -> int:
        return self._sum(self._measures.flows, category, self._until)

    def _sum(self, sums: Sums, category: str, months: Sequence[str]) -> int:
        return sum(sums.get((self._entity, category, month), 0) for month in months)


def figures_of(
    measures: Measures, entities: Sequence[str], periods: Sequence[str], quarters: Sequence[str]
) -> tuple[list[Figure], list[Omission]]:
    """Every key figure that the books suffice for, and why the others are missing."""
    figures: list[Figure] = []
    omitted: list[Omission] = []
    for definition in DEFINITIONS:
        reason = _lacking(definition, measures)
        if reason:
            omitted.append(Omission(id=definition.kpi, label=definition.label, reason=reason))
            continue
        tree = ast.parse(definition.formula, mode="eval").body
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        names = [node.id for node in sorted(nodes, key=lambda node: node.col_offset)]
        for entity in (GROUP, *entities):
            for quarter in quarters:
                operands = Operands(measures, periods, entity, quarter)
                inputs = {name: operands[name] for name in dict.fromkeys(names)}
                try:
                    value = _computed(tree, inputs)
                except ZeroDivisionError:
                    if quarter == quarters[-1]:
                        omitted.append(_undefined(definition, entity, quarter))
                    continue
                figures.append(
                    Figure(
                        id=f"{definition.kpi}/{entity}/{quarter}",
                        kpi=definition.kpi,
                        label=definition.label,
                        entity=entity,
                        period=quarter,
                        value=value if isinstance(value, int) else round(value, RATIO_DIGITS),
                        unit=definition.unit,
                        formula=definition.formula,
                        inputs=inputs,
                    )
                )
    return figures, omitted


def _lacking(definition: Definition, measures: Measures) -> str:
    if not measures.categories:
        return "the books have no ledger whose accounts have a category"
    if definition.budget and not measures.has_budget:
        return "the books have no budget"
    for category in definition.needs:
        if category not in measures.categories:
            return f"the ledger has no account of the category {category!r}"
    for choice in definition.any_of:
        if not measures.categories & set(choice):
            return f"the ledger has no account of any of the categories {', '.join(choice)}"
    return ""


def _undefined(definition: Definition, entity: str, quarter: str) -> Omission:
    return Omission(
        id=f"{definition.kpi}/{entity}/{quarter}",
        label=definition.label,
        reason=f"{definition.formula} would divide by 0 for {entity}",
    )


def evaluated(formula: str, inputs: Mapping[str, Number]) -> Number:
    """What a figure's formula gives.

    Raises:
        ZeroDivisionError: A divisor is 0.
        KeyError: An operand is not among `inputs`.
    """
    return _computed(ast.parse(formula, mode="eval").body, inputs)


def _computed(node: ast.expr, inputs: Mapping[str, Number]) -> Number:
    match node:
        case ast.Name(id=name):
            return inputs[name]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _computed(left, inputs) + _computed(right, inputs)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _computed(left, inputs) - _computed(right, inputs)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _computed(left, inputs) * _computed(right, inputs)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _computed(left, inputs) / _computed(right, inputs)
        case _:
            raise ValueError(f"a formula is arithmetic over names, not {ast.unparse(node)!r}")
