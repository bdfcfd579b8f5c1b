"""Each test of documents and series by itself: what it finds, what it leaves in peace."""

import math
import random
from collections.abc import Callable
from datetime import date
from typing import Any

import polars as pl
import pytest

from dalsegno_agents.gallery.finance.analysis.detect_documents import (
    duplicate_invoices,
    duplicate_payments,
    late_postings,
    round_payments,
    unknown_counterparties,
    wrong_signs,
)
from dalsegno_agents.gallery.finance.analysis.detect_gaps import gaps, missing_periods
from dalsegno_agents.gallery.finance.analysis.detect_series import (
    large_invoices,
    outliers,
    z_threshold,
)
from dalsegno_agents.gallery.finance.analysis.evidence import Detected, Evidence

MONTHS = tuple(f"{2024 + n // 12}-{n % 12 + 1:02}" for n in range(24))
Rows = list[dict[str, Any]]
Table = Callable[..., pl.DataFrame]
Make = Callable[..., Evidence]


def invoice(document: str, cents: int, **more: Any) -> dict[str, Any]:
    return {
        "entity": "A1",
        "document": document,
        "direction": "purchase",
        "date": date(2025, 3, 4),
        "amount_cents": cents,
        "counterparty": "V1",
        **more,
    }


def payment(document: str, cents: int, **more: Any) -> dict[str, Any]:
    return {**invoice(document, cents), "direction": "out", **more}


def line(month: str, cents: int, **more: Any) -> dict[str, Any]:
    return {
        "entity": "A1",
        "account": "6100",
        "category": "opex",
        "period": month,
        "amount_cents": cents,
        **more,
    }


def documents(outcome: Detected) -> list[set[str]]:
    return [{one.document for one in found.evidence if one.document} for found in outcome.anomalies]


# --- documents --------------------------------------------------------------------------------


def test_an_invoice_entered_twice_is_found_although_its_number_is_written_otherwise(
    table: Table, evidence: Make
) -> None:
    rows = [
        invoice("1", 500_00, reference="RE-77"),
        invoice("2", 500_00, reference="re 77", date=date(2025, 4, 1)),
        invoice("3", 500_00, reference="RE-78"),
        invoice("4", 501_00, reference="RE-77"),
        invoice("5", 500_00, reference="RE-77", counterparty="V2"),
    ]
    outcome = duplicate_invoices(evidence(invoices=table("invoices", rows)))
    assert documents(outcome) == [{"1", "2"}]
    assert outcome.anomalies[0].amount_cents == 500_00


def test_without_a_number_equal_invoices_count_when_they_are_days_apart(
    table: Table, evidence: Make
) -> None:
    rows = [
        invoice("1", 500_00),
        invoice("2", 500_00, date=date(2025, 3, 7)),
        invoice("3", 500_00, date=date(2025, 4, 4)),
    ]
    assert documents(duplicate_invoices(evidence(invoices=table("invoices", rows)))) == [{"1", "2"}]


def test_a_rent_of_the_same_sum_each_month_is_no_duplicate(table: Table, evidence: Make) -> None:
    rows = [
        invoice(str(month), 900_00, date=date(2025, month, 1), reference=f"R{month}")
        for month in range(1, 13)
    ]
    assert documents(duplicate_invoices(evidence(invoices=table("invoices", rows)))) == []


def test_two_halves_of_an_invoice_are_no_double_payment_but_two_wholes_are(
    table: Table, evidence: Make
) -> None:
    invoices = table("invoices", [invoice("I1", 100_00), invoice("I2", 100_00)])
    payments = table(
        "payments",
        [
            payment("P1", 50_00, invoice="I1"),
            payment("P2", 50_00, invoice="I1"),
            payment("P3", 100_00, invoice="I2"),
            payment("P4", 100_00, invoice="I2", date=date(2025, 5, 1)),
        ],
    )
    found = documents(duplicate_payments(evidence(invoices=invoices, payments=payments)))
    assert found == [{"P3", "P4", "I2"}]


def test_a_single_line_on_the_other_side_of_its_account_has_the_wrong_sign(
    table: Table, evidence: Make
) -> None:
    rows = [line(month, 100_00, document=f"D{n}") for n, month in enumerate(MONTHS)]
    rows[5]["amount_cents"] = -100_00
    assert documents(wrong_signs(evidence(ledger=table("ledger", rows)))) == [{"D5"}]


def test_credit_notes_and_monthly_reversals_have_the_right_sign(
    table: Table, evidence: Make
) -> None:
    reversals = [
        line(month, cents, document=f"{month}{cents}")
        for month in MONTHS
        for cents in (100_00, 90_00, -100_00)
    ]
    sales = [
        line(month, -50_00, account="4000", category="revenue", document=f"S{month}")
        for month in MONTHS
    ]
    credit = line("2025-01", 10_00, account="4000", category="revenue", document="C1")
    note = invoice("C1", -10_00, kind="credit_note", direction="sales")
    outcome = wrong_signs(
        evidence(
            ledger=table("ledger", [*reversals, *sales, credit]),
            invoices=table("invoices", [note]),
        )
    )
    assert documents(outcome) == []


def test_an_invoice_below_zero_and_a_credit_note_above_have_the_wrong_sign(
    table: Table, evidence: Make
) -> None:
    rows = [
        invoice("1", -5_00, kind="invoice"),
        invoice("2", 5_00, kind="credit_note"),
        invoice("3", 5_00, kind="invoice"),
    ]
    assert documents(wrong_signs(evidence(invoices=table("invoices", rows)))) == [{"1"}, {"2"}]


def test_a_partner_without_a_record_is_told_once_with_all_its_documents(
    table: Table, evidence: Make
) -> None:
    known = table("counterparties", [{"counterparty": name} for name in ("V1", "V2", "V3")])
    payments = [payment("P1", 5_00), payment("P2", 7_00, counterparty="V9")]
    ledger = [
        line("2025-01", 7_00, counterparty="V9", document="P2"),
        line("2025-01", 7_00, counterparty="B2"),
    ]
    outcome = unknown_counterparties(
        evidence(
            counterparties=known,
            payments=table("payments", payments),
            ledger=table("ledger", ledger),
        )
    )
    assert documents(outcome) == [{"P2"}]
    assert outcome.anomalies[0].amount_cents == 7_00


def test_records_that_use_other_ids_than_the_documents_make_no_alarm_but_a_reason(
    table: Table, evidence: Make
) -> None:
    outcome = unknown_counterparties(
        evidence(
            counterparties=table("counterparties", [{"counterparty": "Miller Ltd"}]),
            payments=table("payments", [payment("P1", 5_00)]),
        )
    )
    assert outcome.anomalies == ()
    assert outcome.omission is not None
    assert "another id" in outcome.omission.reason


def test_round_payments_without_an_invoice_are_found_and_those_with_one_are_not(
    table: Table, evidence: Make
) -> None:
    odd = [payment(f"N{n}", 1_234_56 + n, counterparty=f"V{n % 7}") for n in range(200)]
    loose = [payment(f"R{n}", 4_000_00, counterparty="V99") for n in range(4)]
    settled = [payment(f"S{n}", 4_000_00, counterparty="V98", invoice=f"I{n}") for n in range(4)]
    outcome = round_payments(evidence(payments=table("payments", [*odd, *loose, *settled])))
    assert documents(outcome) == [{"R0", "R1", "R2", "R3"}]


def test_where_everybody_pays_round_sums_they_say_nothing(table: Table, evidence: Make) -> None:
    rows = [payment(f"N{n}", 1_000_00 * (n + 1), counterparty=f"V{n % 7}") for n in range(100)]
    assert round_payments(evidence(payments=table("payments", rows))).anomalies == ()


def test_an_entry_after_the_close_is_late_and_one_on_the_day_is_not(
    table: Table, evidence: Make
) -> None:
    closings = table("closings", [{"period": "2025-01", "closed_on": date(2025, 2, 9)}])
    rows = [
        line("2025-01", 10_00, document="on time", posted_on=date(2025, 2, 9)),
        line("2025-01", 10_00, document="late", posted_on=date(2025, 2, 10)),
        line("2025-01", -10_00, document="late", posted_on=date(2025, 2, 10)),
        line("2025-02", 10_00, document="open", posted_on=date(2025, 9, 9)),
    ]
    outcome = late_postings(evidence(ledger=table("ledger", rows), closings=closings))
    assert documents(outcome) == [{"late"}]


def test_an_entity_with_a_closing_day_of_its_own_is_held_to_that(
    table: Table, evidence: Make
) -> None:
    closings = table(
        "closings",
        [
            {"period": "2025-01", "closed_on": date(2025, 2, 9)},
            {"period": "2025-01", "closed_on": date(2025, 2, 20), "entity": "A1"},
        ],
    )
    rows = [
        line("2025-01", 1_00, document="fine", posted_on=date(2025, 2, 15)),
        line("2025-01", 1_00, document="late", posted_on=date(2025, 2, 15), entity="B2"),
    ]
    outcome = late_postings(evidence(ledger=table("ledger", rows), closings=closings))
    assert documents(outcome) == [{"late"}]


@pytest.mark.parametrize(
    "test",
    [
        duplicate_invoices,
        duplicate_payments,
        wrong_signs,
        unknown_counterparties,
        round_payments,
        late_postings,
        gaps,
        outliers,
        large_invoices,
    ],
)
def test_a_test_that_lacks_its_tables_says_what_it_needs(
    test: Callable[[Evidence], Detected], evidence: Make
) -> None:
    outcome = test(evidence())
    assert outcome.check is None
    assert outcome.omission is not None
    assert outcome.omission.reason


# --- series -----------------------------------------------------------------------------------


def test_the_month_that_a_regular_account_skips_is_a_gap(table: Table, evidence: Make) -> None:
    rows = [line(month, 100_00) for month in MONTHS if month != "2025-03"]
    other = [line(month, 70_00, account="6200") for month in MONTHS]
    outcome = gaps(evidence(ledger=table("ledger", [*rows, *other])))
    assert [(one.period, one.evidence[0].account) for one in outcome.anomalies] == [
        ("2025-03", "6100")
    ]


def test_a_month_without_any_entry_is_told_once(table: Table, evidence: Make) -> None:
    rows = [
        line(month, 100_00, account=account, entity=entity)
        for entity in ("A1", "B2")
        for account in ("6100", "6200", "6300")
        for month in MONTHS
        if (entity, month) != ("B2", "2025-03")
    ]
    outcome = gaps(evidence(ledger=table("ledger", rows)))
    assert [(one.entity, one.period) for one in outcome.anomalies] == [("B2", "2025-03")]


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        (MONTHS, []),
        (MONTHS[:-1], [MONTHS[-1]]),
        (MONTHS[:-4], []),
        (MONTHS[6:], []),
        (MONTHS[::3], []),
        ((*MONTHS[:12:3], *MONTHS[15::3]), [MONTHS[12]]),
        (MONTHS[::5], []),
        (MONTHS[:3], []),
    ],
)
def test_a_gap_needs_a_rhythm(present: tuple[str, ...], missing: list[str]) -> None:
    assert missing_periods(present, MONTHS) == missing


def test_three_times_the_usual_is_out_of_line_in_a_steady_account(
    table: Table, evidence: Make
) -> None:
    chance = random.Random(1)
    rows = [
        line(month, round(5_000_000 * chance.uniform(0.95, 1.05)), document=f"D{n}")
        for n, month in enumerate(MONTHS)
    ]
    rows[9]["amount_cents"] *= 3
    outcome = outliers(evidence(ledger=table("ledger", rows)))
    assert documents(outcome) == [{"D9"}]
    assert outcome.anomalies[0].amount_cents == pytest.approx(10_000_000, rel=0.1)


def test_what_an_earlier_test_has_explained_is_not_out_of_line_again(
    table: Table, evidence: Make
) -> None:
    rows = [line(month, 5_000_000, document=f"D{n}") for n, month in enumerate(MONTHS)]
    rows.append(line(MONTHS[9], 9_000_000, document="twice"))
    view = evidence(ledger=table("ledger", rows))
    assert len(outliers(view).anomalies) == 1
    view.explained.add("twice")
    assert outliers(view).anomalies == ()


def test_growth_and_season_are_not_out_of_line(table: Table, evidence: Make) -> None:
    rows = [
        line(
            month,
            -round(4_000_000 * 1.03**n * (1 + 0.4 * math.sin(n * math.pi / 6))),
            entity=entity,
            account=account,
            category="revenue",
        )
        for entity in ("A1", "B2")
        for account in ("4000", "4100")
        for n, month in enumerate(MONTHS)
    ]
    assert outliers(evidence(ledger=table("ledger", rows))).anomalies == ()


@pytest.mark.slow
def test_noise_alone_raises_a_false_alarm_as_rarely_as_promised(
    table: Table, evidence: Make
) -> None:
    chance = random.Random(5)
    alarms = 0
    for _ in range(15):
        rows = [
            line(month, round(5_000_000 * chance.lognormvariate(0, 0.4)), account=str(account))
            for account in range(20)
            for month in MONTHS
        ]
        alarms += len(outliers(evidence(ledger=table("ledger", rows))).anomalies)
    assert alarms <= 2  # of 7,200 months; one in a hundred such books may have one


def test_the_threshold_grows_with_the_number_of_tests_and_shrinks_with_the_sample() -> None:
    assert z_threshold(1, 10**6) == 3.5
    assert z_threshold(1000, 10**6) == pytest.approx(4.42, abs=0.02)
    assert z_threshold(1000, 24) > z_threshold(1000, 100) > z_threshold(1000, 10**6)


def test_an_invoice_of_a_thousand_times_the_median_stands_out(table: Table, evidence: Make) -> None:
    chance = random.Random(2)
    rows = [invoice(f"I{n}", round(200_000 * chance.lognormvariate(0, 0.8))) for n in range(300)]
    rows.append(invoice("huge", 400_000_000))
    assert documents(large_invoices(evidence(invoices=table("invoices", rows)))) == [{"huge"}]
