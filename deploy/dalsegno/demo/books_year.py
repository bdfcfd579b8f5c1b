"""Two ordinary years of the demo company: what it sells, buys, pays and accrues. Nothing odd yet.

Sums follow season and growth closely, while single documents spread over orders of magnitude: the
amounts of a month are a stratified sample of a lognormal distribution, scaled to the month's sum.
Such amounts follow Benford's law, as those of real subledgers do.
"""

import math
from datetime import date, timedelta
from random import Random
from statistics import NormalDist
from typing import Final

from dalsegno.demo.books_entries import (
    BOOKS_END,
    Bookkeeper,
    Row,
    day_in,
    month_end,
    month_index,
)
from dalsegno.demo.books_partners import customers_of, master_rows, vendors_for
from dalsegno.demo.books_plan import (
    APPROVAL_FROM_EUR,
    COSTS,
    ENTITIES,
    GROUP_FEES,
    GROWTH_YEARLY,
    INSURANCE_EUR,
    MONTHS,
    SEASON,
    Entity,
)

_NORMAL: Final = NormalDist()
SALES_SPREAD: Final = 1.2
COSTS_SPREAD: Final = 0.95
"""Standard deviations of the amounts' natural logarithms."""
_SALES_ACCOUNTS: Final = ("4000",) * 7 + ("4100",) * 2 + ("4200",)
MONTH_END_TEXTS: Final = {
    "DP": "Depreciation",
    "BC": "Bank charges",
    "IN": "Interest",
    "TX": "Income tax of the quarter",
    "TP": "Income tax of the last quarter paid",
    "CX": "Equipment bought",
    "DV": "Dividend",
}


def trend(month: str) -> float:
    """Growth since the first month."""
    return (1 + GROWTH_YEARLY) ** (month_index(month) / 12)


def season(month: str) -> float:
    """The month of the year's factor on sales."""
    return SEASON[int(month[5:7]) - 1]


def split(random: Random, total_cents: int, count: int, spread: float) -> list[int]:
    """`count` positive amounts that add up to about `total_cents`, in random order."""
    draws = [
        math.exp(spread * _NORMAL.inv_cdf((position + random.uniform(0.02, 0.98)) / count))
        for position in range(count)
    ]
    random.shuffle(draws)
    scale = total_cents / sum(draws)
    return [max(100, round(draw * scale)) for draw in draws]


def ordinary_years(random: Random) -> Bookkeeper:
    """The books without anything planted."""
    books = Bookkeeper(random=random)
    master_rows(books)
    for entity in ENTITIES:
        year = _Year(books, entity)
        year.open()
        for month in MONTHS:
            year.keep(month)
    _group_services(books)
    return books


class _Year:
    """The months of one entity."""

    def __init__(self, books: Bookkeeper, entity: Entity) -> None:
        self._books = books
        self._entity = entity
        self._random = books.random
        self._accrued = 0
        self._tax = 0
        self._bonus = 0

    def open(self) -> None:
        """The balances with which the books begin, and the opening items settled."""
        entity = self._entity
        sales = entity.sales_eur * 100
        receivable, payable = round(sales * 1.15), round(sales * entity.cost_share * 1.1)
        first = day_in(MONTHS[0], 1)
        lines = [
            ("1000", round(sales * 0.9)),
            ("1200", receivable),
            ("1400", round(sales * entity.cost_share * 1.8)),
            ("1600", entity.depreciation_eur * 100 * 70),
            ("1690", -entity.depreciation_eur * 100 * 22),
            ("2000", -payable),
            ("2700", -entity.depreciation_eur * 100 * 20),
        ]
        lines.append(("3000", -sum(cents for _, cents in lines)))
        self._opening(first, lines, "Opening balances")
        early, paid_early = round(receivable * 0.6), round(payable * 0.6)
        for days, received, paid in (
            (18, early, paid_early),
            (46, receivable - early, payable - paid_early),
        ):
            self._opening(
                first + timedelta(days=days),
                [("1000", received - paid), ("1200", -received), ("2000", paid)],
                "Opening items settled",
            )

    def _opening(self, on: date, lines: list[tuple[str, int]], text: str) -> None:
        books, entity = self._books, self._entity.code
        books.post(books.number("OB", entity), entity, on, lines, text=text)

    def keep(self, month: str) -> None:
        """Everything of one month."""
        sold = self._sales(month)
        self._stock(month, sold)
        self._costs(month)
        self._payroll(month)
        self._month_end(month)

    def _sales(self, month: str) -> int:
        entity, random, books = self._entity, self._random, self._books
        target = entity.sales_eur * 100 * season(month) * trend(month)
        target *= random.uniform(0.985, 1.015)
        count = round(entity.sales_invoices * season(month))
        amounts = split(random, round(target), count, SALES_SPREAD)
        invoices: list[Row] = []
        shift = random.randrange(len(_SALES_ACCOUNTS))
        # by size in turn, so that each account gets its share of small and of large invoices
        for rank, amount in enumerate(sorted(amounts), shift):
            invoice = books.sell(
                entity.code,
                random.choice(customers_of(entity)),
                _SALES_ACCOUNTS[rank * 7 % len(_SALES_ACCOUNTS)],
                day_in(month, random.randint(1, 28)),
                _lines(random, amount),
            )
            invoices.append(invoice)
            self._settle(invoice, "RCV", random.randint(18, 58))
        for invoice in random.sample(invoices, k=2):
            share = random.choice((0.1, 0.2, 0.5))
            books.credit(
                entity.code,
                invoice["customer"],
                "4000",
                min(invoice["invoice_date"] + timedelta(days=random.randint(3, 12)), BOOKS_END),
                round(min(invoice["net_amount"], 800_000) * share),
            )
        return sum(invoice["net_amount"] for invoice in invoices)

    def _settle(self, invoice: Row, direction: str, days: int) -> None:
        """Pay an invoice some days after its date, unless the books end before."""
        received = direction == "RCV"
        on: date = invoice["invoice_date"] + timedelta(days=days)
        if on > BOOKS_END:
            return
        self._books.pay(
            self._entity.code,
            direction,
            invoice["customer" if received else "vendor"],
            on,
            invoice["net_amount" if received else "amount"],
            invoice=invoice["invoice_no" if received else "voucher_no"],
            account="1200" if received else "2000",
        )

    def _stock(self, month: str, sold: int) -> None:
        entity, random, books = self._entity, self._random, self._books
        cost = round(sold * entity.cost_share * random.uniform(0.985, 1.015))
        end = month_end(month)
        books.post(
            books.number("CS", entity.code),
            entity.code,
            end,
            [("5000", cost), ("1400", -cost)],
            text="Cost of goods sold",
            entered_on=end + timedelta(days=3),
        )
        bought = round(cost * random.uniform(0.97, 1.03))
        for amount in split(random, bought, entity.stock_invoices, COSTS_SPREAD):
            self._purchase(month, "1400", amount, ordered=True)

    def _costs(self, month: str) -> None:
        entity, random = self._entity, self._random
        year = int(month[:4]) - int(MONTHS[0][:4])
        self._purchase(month, "6100", round(entity.rent_eur * 100 * 1.021**year), day=1)
        self._purchase(month, "6800", round(INSURANCE_EUR * entity.size * 100 * 1.034**year), day=5)
        for account, euros, count, _ in COSTS:
            total = euros * 100 * entity.size * trend(month) * random.uniform(0.92, 1.08)
            for amount in split(random, round(total), count, COSTS_SPREAD):
                self._purchase(month, account, amount)

    def _purchase(
        self,
        month: str,
        account: str,
        amount: int,
        *,
        day: int | None = None,
        ordered: bool = False,
    ) -> None:
        entity, random, books = self._entity, self._random, self._books
        vendor = random.choice(vendors_for(entity, account))
        on = day_in(month, day or random.randint(2, 27))
        order = None
        large = amount >= APPROVAL_FROM_EUR * 100
        if ordered or (large and day is None):
            order = books.order(
                entity.code,
                vendor,
                on - timedelta(days=random.randint(6, 25)),
                amount,
                approved=large or random.random() < 0.5,
            )["po_no"]
        invoice = books.buy(entity.code, vendor, account, on, amount, order=order)
        self._settle(invoice, "PAY", random.randint(24, 44))

    def _payroll(self, month: str) -> None:
        entity, random, books = self._entity, self._random, self._books
        paid_on = day_in(month, 28)
        raise_factor = 1.031 ** (int(month[:4]) - int(MONTHS[0][:4]))
        total = 0
        for position in range(entity.employees):
            rank = (position * 37) % entity.employees / entity.employees
            base = entity.pay_eur * 100 * (0.72 + 0.6 * rank)
            gross = round(base * raise_factor + random.randint(0, 9_000))
            total += gross
            books.erp["payroll"].append(
                {
                    "company": entity.code,
                    "employee": f"{entity.code}-{position + 1:03}",
                    "month": month,
                    "gross": gross,
                    "paid_on": paid_on,
                }
            )
        books.post(
            books.number("PR", entity.code),
            entity.code,
            paid_on,
            [("6000", total), ("1000", -total)],
            text="Payroll",
            entered_on=paid_on,
        )

    def _month_end(self, month: str) -> None:
        entity, random, books = self._entity, self._random, self._books
        end = month_end(month)
        entries = [
            ("DP", "7000", "1690", entity.depreciation_eur * 100 + random.randint(0, 40_000)),
            ("BC", "6950", "1000", round(41_000 * entity.size) + random.randint(0, 6_000)),
            ("IN", "8000", "1000", entity.depreciation_eur * 9 + random.randint(0, 900)),
        ]
        entries.append(("CX", "1600", "1000", entity.depreciation_eur * 130))
        if month[5:7] == "05":
            entries.append(("DV", "3000", "1000", entity.sales_eur * entity.dividend_percent))
        if month[5:7] in {"03", "06", "09", "12"}:
            if self._tax:
                entries.append(("TP", "2400", "1000", self._tax))
            self._tax = round(entity.sales_eur * 100 * random.uniform(0.030, 0.034))
            entries.append(("TX", "8500", "2400", self._tax))
        for kind, debit, credit, cents in entries:
            books.post(
                books.number(kind, entity.code),
                entity.code,
                end,
                [(debit, cents), (credit, -cents)],
                text=MONTH_END_TEXTS[kind],
                entered_on=end + timedelta(days=4),
            )
        if self._accrued:
            books.journal(
                entity.code,
                day_in(month, 1),
                [("2300", self._accrued), ("6500", -self._accrued)],
                "Reversal of last month's accrual",
            )
        self._accrued = round(entity.size * random.uniform(310_000, 390_000))
        books.journal(
            entity.code,
            end,
            [("6500", self._accrued), ("2300", -self._accrued)],
            "Accrual of consulting not yet invoiced",
        )
        bonus = round(entity.employees * random.uniform(15_000, 16_500))
        books.journal(entity.code, end, [("6000", bonus), ("2300", -bonus)], "Bonus provision")
        if month[5:7] == "03" and self._bonus:
            paid = [("2300", self._bonus), ("1000", -self._bonus)]
            books.journal(entity.code, end, paid, "Bonuses of last year paid")
            self._bonus = 0
        self._bonus += bonus


def _lines(random: Random, amount: int) -> list[tuple[int, int]]:
    """One to four lines (quantity, price in cents) that add up to about `amount`."""
    count = random.choice((1, 2, 2, 3, 4)) if amount > 50_000 else 1
    lines: list[tuple[int, int]] = []
    rest = amount
    for position in range(count, 0, -1):
        part = rest if position == 1 else round(rest * random.uniform(0.25, 0.75))
        quantity = random.choice((1, 1, 2, 3, 4, 6, 10)) if part > 5_000 else 1
        price = max(1, part // quantity)
        lines.append((quantity, price))
        rest = max(100, rest - quantity * price)
    return lines


def _group_services(books: Bookkeeper) -> None:
    """What NL03 charges the others: income there, cost here, settled within the month."""
    for month in MONTHS:
        on, paid = day_in(month, 10), day_in(month, 24)
        year = int(month[:4]) - int(MONTHS[0][:4])
        for payer, euros in GROUP_FEES:
            cents = round(euros * 100 * 1.025**year)
            for entity, partner, lines, when in (
                ("NL03", payer, [("1250", cents), ("4900", -cents)], on),
                (payer, "NL03", [("6900", cents), ("2250", -cents)], on),
                ("NL03", payer, [("1000", cents), ("1250", -cents)], paid),
                (payer, "NL03", [("2250", cents), ("1000", -cents)], paid),
            ):
                books.post(
                    books.number("IC", entity),
                    entity,
                    when,
                    lines,
                    partner=partner,
                    text="Group services",
                )
