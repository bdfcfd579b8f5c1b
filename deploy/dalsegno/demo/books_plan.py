"""What the demo company is: entities, accounts, people, seasons, prices. Constants only.

All sums are in whole euros, and the generator turns them into cents.
"""

from dataclasses import dataclass
from typing import Final

COMPANY: Final = "Fermata Instruments Group"
CURRENCY: Final = "EUR"
FIRST_YEAR: Final = 2024
MONTHS: Final = tuple(f"{FIRST_YEAR + n // 12}-{n % 12 + 1:02}" for n in range(24))
"""Eight quarters."""
LAST_QUARTER: Final = "2025-Q4"
SEASON: Final = (0.88, 0.90, 1.00, 0.98, 1.00, 1.02, 0.92, 0.86, 1.05, 1.08, 1.12, 1.19)
"""Sales by month of the year, 1 being an average month."""
GROWTH_YEARLY: Final = 0.07
APPROVAL_FROM_EUR: Final = 5_000
"""Purchase orders from here on need an approval."""
CLOSE_DAYS: Final = (8, 11)
"""A month is closed this many days after its end, from and to."""


@dataclass(frozen=True, kw_only=True)
class Entity:
    """One legal entity and the size of its business in an average month of the first year."""

    code: str
    name: str
    country: str
    sales_eur: int
    sales_invoices: int
    cost_share: float
    stock_invoices: int
    employees: int
    pay_eur: int
    rent_eur: float
    depreciation_eur: int
    dividend_percent: int
    """Of an average month's sales, once a year."""
    size: float
    """Factor on the running costs in `COSTS`."""
    clerks: tuple[str, ...]
    approvers: tuple[str, ...]


ENTITIES: Final = (
    Entity(
        code="DE01",
        name="Fermata Instruments GmbH",
        country="DE",
        sales_eur=1_150_000,
        sales_invoices=110,
        cost_share=0.53,
        stock_invoices=14,
        employees=62,
        pay_eur=4_100,
        rent_eur=24_780.50,
        depreciation_eur=31_000,
        dividend_percent=45,
        size=1.0,
        clerks=("a.keller", "m.vogt", "s.brandt"),
        approvers=("h.lindner", "p.krause"),
    ),
    Entity(
        code="FR02",
        name="Fermata Distribution SAS",
        country="FR",
        sales_eur=620_000,
        sales_invoices=75,
        cost_share=0.56,
        stock_invoices=9,
        employees=29,
        pay_eur=3_900,
        rent_eur=13_465.00,
        depreciation_eur=12_400,
        dividend_percent=60,
        size=0.55,
        clerks=("c.moreau", "j.petit", "l.garnier"),
        approvers=("f.duval", "n.roche"),
    ),
    Entity(
        code="NL03",
        name="Fermata Services B.V.",
        country="NL",
        sales_eur=380_000,
        sales_invoices=60,
        cost_share=0.34,
        stock_invoices=6,
        employees=27,
        pay_eur=4_300,
        rent_eur=9_318.75,
        depreciation_eur=7_900,
        dividend_percent=190,
        size=0.4,
        clerks=("b.devries", "e.jansen", "t.bakker"),
        approvers=("r.visser", "k.mulder"),
    ),
)

ACCOUNTS: Final = (
    # number, name, class as the ERP calls it
    ("1000", "Bank", "Liquid funds"),
    ("1200", "Trade receivables", "Receivables"),
    ("1250", "Receivables from group companies", "Other current assets"),
    ("1400", "Inventory", "Stock"),
    ("1600", "Plant and equipment", "Fixed assets"),
    ("1690", "Accumulated depreciation", "Fixed assets"),
    ("2000", "Trade payables", "Payables"),
    ("2250", "Payables to group companies", "Other current liabilities"),
    ("2300", "Accrued liabilities", "Other current liabilities"),
    ("2400", "Income tax payable", "Other current liabilities"),
    ("2700", "Bank loans", "Long-term debt"),
    ("3000", "Share capital and reserves", "Equity"),
    ("4000", "Sales of instruments", "Sales"),
    ("4100", "Sales of services", "Sales"),
    ("4200", "Sales of accessories", "Sales"),
    ("4900", "Services to group companies", "Sales"),
    ("5000", "Cost of goods sold", "Cost of sales"),
    ("6000", "Salaries", "Operating expense"),
    ("6100", "Rent", "Operating expense"),
    ("6200", "Energy", "Operating expense"),
    ("6300", "Marketing", "Operating expense"),
    ("6400", "Travel", "Operating expense"),
    ("6500", "Professional fees", "Operating expense"),
    ("6600", "Software and IT", "Operating expense"),
    ("6700", "Freight", "Operating expense"),
    ("6800", "Insurance", "Operating expense"),
    ("6900", "Services from group companies", "Operating expense"),
    ("6950", "Bank charges", "Operating expense"),
    ("7000", "Depreciation", "Depreciation"),
    ("8000", "Interest on loans", "Interest"),
    ("8500", "Income tax", "Taxes"),
)

COSTS: Final = (
    # account, euros in a month (at size 1), invoices in a month, vendors to choose from
    ("6200", 15_200, 2, 2),
    ("6300", 34_600, 4, 6),
    ("6400", 14_300, 5, 8),
    ("6500", 18_400, 3, 5),
    ("6600", 16_100, 4, 6),
    ("6700", 27_900, 8, 4),
)
INSURANCE_EUR: Final = 6_217.40
GROUP_FEES: Final = (("DE01", 18_240.00), ("FR02", 11_385.00))
"""What NL03 charges the others for its services each month."""

CUSTOMER_NAMES: Final = (
    ("Orchester", "Musikhaus", "Konzerthaus", "Akademie", "Studio", "Musikschule", "Ensemble"),
    (
        "Allegro",
        "Andante",
        "Brahms",
        "Clavis",
        "Dolce",
        "Forte",
        "Gamba",
        "Lyra",
        "Presto",
        "Viola",
    ),
)
VENDOR_NAMES: Final = (
    ("Holzwerk", "Logistik", "Energie", "Papeterie", "Transports", "Metaal", "Elektronik"),
    ("Ahorn", "Birke", "Cèdre", "Dijk", "Esche", "Frêne", "Gracht", "Hütte", "Linde", "Quai"),
)
ITEMS: Final = (
    "Violin",
    "Viola",
    "Cello",
    "Double bass",
    "Bow",
    "Case",
    "String set",
    "Rosin",
    "Repair",
    "Tuning",
    "Stand",
    "Reed",
)
