"""How a user says where the books are, and which of their columns is what.

Owns the input of the finance workflow and the documented shape (`TABLES`) that every source is
brought to. Knows no company's schema and reads nothing: `gather` does.
"""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dalsegno_bus.messages import Json

Role: TypeAlias = Literal[
    "accounts",
    "counterparties",
    "ledger",
    "invoices",
    "invoice_lines",
    "payments",
    "purchase_orders",
    "payroll",
    "budget",
    "balances",
    "bank",
    "closings",
]
"""Which table of the documented shape a table of a source feeds."""

Category: TypeAlias = Literal[
    "revenue",
    "cogs",
    "opex",
    "depreciation",
    "other_income",
    "interest",
    "tax",
    "cash",
    "receivables",
    "inventory",
    "other_current_assets",
    "fixed_assets",
    "payables",
    "other_current_liabilities",
    "noncurrent_liabilities",
    "equity",
]
"""What an account is. The first seven make the profit and loss, the rest the balance sheet."""

PROFIT_AND_LOSS: Final = (
    "revenue",
    "cogs",
    "opex",
    "depreciation",
    "other_income",
    "interest",
    "tax",
)
CREDIT_CATEGORIES: Final = (
    "revenue",
    "other_income",
    "payables",
    "other_current_liabilities",
    "noncurrent_liabilities",
    "equity",
)
"""Accounts whose usual balance is a credit: negative in the documented shape."""
CURRENT_ASSETS: Final = ("cash", "receivables", "inventory", "other_current_assets")
CURRENT_LIABILITIES: Final = ("payables", "other_current_liabilities")

ColumnType: TypeAlias = Literal["text", "money", "date", "period", "number"]
"""text: String; money: Int64, cents; date: Date; period: String, `YYYY-MM`; number: Float64."""


class Frozen(BaseModel):
    """Base of what travels between the finance agents: never changed, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Shape(Frozen):
    """One column of a documented table. Money `amount` is called `amount_cents` in the rows."""

    name: str
    type: ColumnType = "text"
    required: bool = False
    meaning: str

    @property
    def column(self) -> str:
        """Its name in the rows: the unit comes last."""
        return f"{self.name}_cents" if self.type == "money" else self.name


def _required(name: str, meaning: str, column_type: ColumnType = "text") -> Shape:
    return Shape(name=name, meaning=meaning, type=column_type, required=True)


def _optional(name: str, meaning: str, column_type: ColumnType = "text") -> Shape:
    return Shape(name=name, meaning=meaning, type=column_type)


_ENTITY: Final = _required("entity", "the legal entity, a short code")
_CREATED: Final = _optional("created_by", "who entered it")
_APPROVED: Final = _optional("approved_by", "who approved it; empty: nobody")
_TEXT: Final = _optional("text", "free text")

TABLES: Final[dict[Role, tuple[Shape, ...]]] = {
    "accounts": (
        _required("account", "its number"),
        _required("category", "one of `Category`"),
        _optional("name", "for people"),
    ),
    "counterparties": (
        _required("counterparty", "its id, as ledger, invoices and payments use it"),
        _optional("name", "for people"),
        _optional("kind", "`customer` or `vendor`"),
    ),
    "ledger": (
        _ENTITY,
        _required("account", "its number in the chart of accounts"),
        _required("amount", "debit positive, credit negative: a document adds up to 0", "money"),
        _optional("date", "the accounting date", "date"),
        _optional("period", "the month it belongs to; without it, that of the date", "period"),
        _optional("category", "what the account is; without it, from the table `accounts`"),
        _optional("document", "the journal entry that the line belongs to"),
        _optional("counterparty", "customer, vendor, or another entity (then eliminated)"),
        _optional("posted_on", "the day on which it was entered", "date"),
        _CREATED,
        _APPROVED,
        _TEXT,
    ),
    "invoices": (
        _ENTITY,
        _required("document", "our id of the invoice"),
        _required("direction", "`sales` or `purchase`"),
        _required("date", "its date", "date"),
        _required("amount", "positive; a credit note is negative", "money"),
        _optional("counterparty", "the customer or the vendor"),
        _optional("kind", "`invoice` or `credit_note`"),
        _optional("reference", "the number that the other side gave it"),
        _optional("purchase_order", "the order that it answers"),
        _optional("due_on", "when it has to be paid", "date"),
        _CREATED,
        _APPROVED,
        _TEXT,
    ),
    "invoice_lines": (
        _required("document", "the invoice that the line belongs to"),
        _required("amount", "same sign as its invoice", "money"),
        _optional("entity", "the legal entity"),
        _optional("line", "its number on the invoice"),
        _optional("item", "what was sold or bought"),
        _optional("quantity", "how many", "number"),
    ),
    "payments": (
        _ENTITY,
        _required("document", "our id of the payment"),
        _required("direction", "`in` (received) or `out` (sent)"),
        _required("date", "when it was paid", "date"),
        _required("amount", "positive, in both directions", "money"),
        _optional("counterparty", "who paid or was paid"),
        _optional("invoice", "the invoice that it settles"),
        _CREATED,
        _APPROVED,
        _TEXT,
    ),
    "purchase_orders": (
        _ENTITY,
        _required("document", "our id of the order"),
        _required("date", "its date", "date"),
        _required("amount", "positive", "money"),
        _optional("counterparty", "the vendor"),
        _CREATED,
        _APPROVED,
        _TEXT,
    ),
    "payroll": (
        _ENTITY,
        _required("employee", "an id, not a name"),
        _required("amount", "gross pay, positive", "money"),
        _optional("date", "when it was paid", "date"),
        _optional("period", "the month it is for; without it, that of the date", "period"),
    ),
    "budget": (
        _ENTITY,
        _required("account", "its number, or any word if `category` is given"),
        _required("amount", "for the month; see `sign`", "money"),
        _required("period", "the month", "period"),
        _optional("category", "what the account is; without it, from the table `accounts`"),
    ),
    "balances": (
        _ENTITY,
        _required("account", "its number"),
        _required("amount", "the account's movement in the month, as reported", "money"),
        _required("period", "the month", "period"),
        _optional("category", "what the account is; without it, from the table `accounts`"),
    ),
    "bank": (
        _ENTITY,
        _required("date", "the day of the booking", "date"),
        _required("amount", "received positive, sent negative", "money"),
        _optional("document", "our payment, where the bank repeats it"),
        _optional("counterparty", "the other side"),
        _TEXT,
    ),
    "closings": (
        _required("period", "the month", "period"),
        _required("closed_on", "no entry may be posted for the month after this day", "date"),
        _optional("entity", "the entity; without it, all"),
    ),
}
"""The documented shape: every table that the finance agents work with, and its columns."""


class Column(Frozen):
    """Which column of a source is meant, and how to read it."""

    name: str | None = None
    """The column's name in the source."""
    minus: str | None = None
    """Money only: a second column to subtract (`name: debit, minus: credit`)."""
    constant: str | None = None
    """The same value in every row; `name` is then left out."""
    default: str | None = None
    """Stands where the source has nothing."""
    values: dict[str, str] = Field(default_factory=dict)
    """Words of the source and what they mean here: `{"AR": "sales", "AP": "purchase"}`."""
    format: str | None = None
    """How dates are written where they are text: `%d.%m.%Y`. Without it ISO 8601."""

    @model_validator(mode="after")
    def _names_one_place(self) -> "Column":
        if (self.name is None) == (self.constant is None):
            raise ValueError("give either `name` (a column of the source) or `constant`")
        return self


class Unpivot(Frozen):
    """For a sheet with a column per month: each such column becomes rows with `period`."""

    columns: str = r"^\d{4}-\d{2}(-\d{2})?$"
    """A regular expression; the headers that match it are the months."""
    format: str | None = None
    """How a header says its month (`%b %Y`); without it as `YYYY-MM` or a date."""


class TableSource(Frozen):
    """One table, query, sheet or file, and what its columns mean."""

    role: Role
    table: str | None = None
    """sql: a table or view, `schema.table` if need be."""
    query: str | None = None
    """sql: a SELECT in its place."""
    sheet: str | None = None
    """xlsx: its name; None takes the first."""
    header_row: Annotated[int, Field(ge=1)] = 1
    """xlsx and csv: the row with the headers, as the program shows it (from 1)."""
    columns: dict[str, str | Column]
    """Each documented column (`TABLES`) with its column in the source. Others are not read."""
    unpivot: Unpivot | None = None
    """For sheets with a column per month; `period` and `amount` are then not in `columns`."""
    sign: Literal["debit", "credit", "natural"] = "debit"
    """ledger, budget, balances: what is positive. `natural`: revenue and liabilities are too."""
    unit: Literal["one", "cent", "thousand"] = "one"
    """What an amount of 1 in the source means in the currency."""


class Source(Frozen):
    """One place where books are kept."""

    name: str
    """Short; every message and every row count names it."""
    kind: Literal["sql", "xlsx", "csv"]
    url: str | None = None
    """sql: any SQLAlchemy URL. Better without a password: it would be part of the run's history."""
    password_variable: Annotated[str | None, Field(pattern=r"^DALSEGNO_SOURCE_[A-Z0-9_]+$")] = None
    """sql: which variable in the agent's environment holds the password."""
    path: str | None = None
    """xlsx, csv: a file that the agent can read."""
    encoding: str = "utf-8"
    """csv: how it is encoded."""
    separator: str = ","
    """csv: what stands between the fields, one character."""
    decimal: Literal[".", ","] = "."
    """csv, sql: what divides whole units from cents in text; the other one groups digits."""
    tables: Annotated[tuple[TableSource, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _says_where(self) -> "Source":
        if self.kind == "sql" and self.url is None:
            raise ValueError(f"source {self.name!r} is sql and needs a `url`")
        if self.kind != "sql" and self.path is None:
            raise ValueError(f"source {self.name!r} is {self.kind} and needs a `path`")
        for table in self.tables:
            if self.kind == "sql" and (table.table is None) == (table.query is None):
                raise ValueError(f"source {self.name!r} ({table.role}) needs `table` or `query`")
        return self


class ReportRequest(Frozen):
    """The input of the workflow `financial-report`; every agent of it gets it as `request`."""

    company: str
    period: Annotated[str, Field(pattern=r"^\d{4}-Q[1-4]$")]
    """The quarter to report on: `2025-Q4`."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "EUR"
    """What all amounts are in (ISO 4217)."""
    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    rules: Json = None
    """Changes to the compliance rules; see `finance.review`. None: the rules as they are."""
