"""Personal data in free text, and what must not be taken for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dalsegno_agents.gallery.finance.compliance.personal_data import MASK, masked, personal_data_in


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("IBAN FR14 2004 1010 0505 0001 3M02 606, thanks", "iban", "FR•••06"),
        ("DE89370400440532013000.", "iban", "DE•••00"),
        ("DE89 3704 0044 0532 0130 00 MILLER", "iban", "DE•••00"),
        ("write to claire.laurent@example.org today", "email", "cl•••rg"),
        ("a@b.de", "email", "a•••e"),
        ("call +49 30 90182099", "phone", "+4•••99"),
        ("Tel. 030 901820-12", "phone", "03•••12"),
        ("0049 30 9018209", "phone", "00•••09"),
        ("(415) 555-2671", "phone", "41•••71"),
        ("card 4111 1111 1111 1111", "card", "41•••11"),
        ("Visa 4111111111111111", "card", "41•••11"),
        ("SSN 536-90-4399", "national_id", "5•••9"),
        ("Steuer-ID 36574261809", "national_id", "36•••09"),
        ("RSSMRA85T10A562S", "national_id", "RS•••2S"),
        ("sécu 2 95 10 99 126 111 93", "national_id", "29•••93"),
        ("NI number AB 12 34 56 C", "national_id", "A•••C"),
    ],
)
def test_personal_data_is_found_and_masked(text: str, kind: str, shown: str) -> None:
    assert [(one.kind, one.masked) for one in personal_data_in(text)] == [(kind, shown)]


@pytest.mark.parametrize(
    "text",
    [
        "SI-DE01-000042 for order 4500012345",
        "PO-12345678901, voucher 36574261809",
        "Invoice 2025/00123/456 of 12.11.2025 over 1.234.567,00",
        "4111111111111111",
        "4111 1111 1111 1112",
        "DE12 3456 7890 1234 5678 90",
        "adjusted by +12,345,678 or +12 345 678 901 EUR",
        "2025-10-01 to 2025-12-31, 08:00-17:30",
        "Ref 00491234567890123",
        "reference 123-45-67890 and 000-12-3456",
        "AB123456C",
        "Telephone costs 2025-11, line 4",
        "user@host",
        "Account 6300 V9033 RE-48213 VI-FR02-000377",
    ],
)
def test_document_numbers_are_not_taken_for_personal_data(text: str) -> None:
    assert personal_data_in(text) == []


def test_an_iban_with_a_wrong_check_digit_is_none() -> None:
    assert personal_data_in("FR15 2004 1010 0505 0001 3M02 606") == []


def test_each_place_counts_once() -> None:
    found = personal_data_in("Tel. +49 30 90182099, DE89370400440532013000, a.b@example.org")
    assert sorted(one.kind for one in found) == ["email", "iban", "phone"]


@given(st.text(min_size=1, max_size=40))
def test_a_masked_value_shows_at_most_four_characters(value: str) -> None:
    shown = masked(value).replace(MASK, "", 1)
    assert len(shown) <= 4
    assert MASK in masked(value)


@settings(max_examples=40, deadline=None)
@given(st.from_regex(r"[A-Z]{2,3}-[A-Z]{2}[0-9]{2}-[0-9]{6}", fullmatch=True))
def test_no_document_number_of_an_erp_is_personal_data(document: str) -> None:
    assert personal_data_in(f"Payment of {document}, see {document}.") == []
