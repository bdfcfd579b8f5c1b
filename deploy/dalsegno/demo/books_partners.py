"""The demo company's master records: entities, accounts, customers and vendors, closing days."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from dalsegno.demo.books_entries import Bookkeeper, month_end
from dalsegno.demo.books_plan import (
    ACCOUNTS,
    CLOSE_DAYS,
    COSTS,
    CUSTOMER_NAMES,
    ENTITIES,
    MONTHS,
    VENDOR_NAMES,
    Entity,
)

CUSTOMERS_EACH: Final = 45
VENDORS_EACH: Final = 32


def customers_of(entity: Entity) -> list[str]:
    """The ids of an entity's customers."""
    start = 1000 + ENTITIES.index(entity) * 100
    return [f"C{start + n}" for n in range(CUSTOMERS_EACH)]


def vendors_of(entity: Entity) -> list[str]:
    """The ids of an entity's vendors; each kind of cost has its own few."""
    start = 5000 + ENTITIES.index(entity) * 100
    return [f"V{start + n}" for n in range(VENDORS_EACH)]


def vendors_for(entity: Entity, account: str) -> Sequence[str]:
    """Who sells an entity what is booked to `account`."""
    vendors = vendors_of(entity)
    match account:
        case "6100":
            return vendors[:1]
        case "6800":
            return vendors[1:2]
        case "1400":
            return vendors[-8:]
        case _:
            position = [cost[0] for cost in COSTS].index(account)
            start = 2 + position * 3
            return vendors[start : start + COSTS[position][3]]


def master_rows(books: Bookkeeper) -> None:
    """Enter what the books refer to: entities, accounts, partners, closing days."""
    random, erp = books.random, books.erp
    for entity in ENTITIES:
        erp["companies"].append(
            {"code": entity.code, "name": entity.name, "country": entity.country}
        )
        for ids, names, kind in (
            (customers_of(entity), CUSTOMER_NAMES, "C"),
            (vendors_of(entity), VENDOR_NAMES, "V"),
        ):
            for partner in ids:
                erp["business_partners"].append(
                    {
                        "bp_id": partner,
                        "bp_name": " ".join((*map(random.choice, names), partner[1:])),
                        "bp_type": kind,
                        "country": entity.country,
                    }
                )
    for number, name, account_class in ACCOUNTS:
        erp["gl_accounts"].append(
            {"acct_no": number, "acct_name": name, "acct_class": account_class}
        )
    for month in MONTHS:
        erp["period_closings"].append(
            {
                "month": month,
                "closed_on": month_end(month) + timedelta(days=random.randint(*CLOSE_DAYS)),
            }
        )
