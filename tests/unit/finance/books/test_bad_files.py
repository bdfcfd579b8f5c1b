# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# (xlsxwriter is typed in parts only)
"""Files that are not as described: one sentence that names file, sheet, row and column."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import xlsxwriter

from dalsegno_bus.errors import TaskRejected

Read = Callable[[dict[str, Any]], pl.DataFrame]
Refuse = Callable[[dict[str, Any]], TaskRejected]
COLUMNS = {
    "entity": {"constant": "A1"},
    "document": "no",
    "direction": {"constant": "out"},
    "date": "day",
    "amount": "sum",
}


def in_csv(path: Path, content: bytes, **more: Any) -> dict[str, Any]:
    path.write_bytes(content)
    table = {"role": "payments", "columns": COLUMNS, **more.pop("table", {})}
    return {"name": "p", "kind": "csv", "path": str(path), "tables": [table], **more}


def workbook(path: Path, fill: Callable[[Any, Any], None], **table: Any) -> dict[str, Any]:
    book = xlsxwriter.Workbook(str(path))
    sheet: Any = book.add_worksheet("Payments")
    fill(sheet, book)
    book.add_worksheet("Empty")
    book.close()
    shape = {"role": "payments", "columns": COLUMNS, "sheet": "Payments", **table}
    return {"name": "p", "kind": "xlsx", "path": str(path), "tables": [shape]}


# --- workbooks --------------------------------------------------------------------------------


def plain(sheet: Any, book: Any) -> None:
    del book
    sheet.write_row(0, 0, ["no", "day", "sum"])
    sheet.write_row(1, 0, [1, "2025-01-02", 5])


def test_a_missing_sheet_is_named_with_those_that_exist(tmp_path: Path, rejected: Refuse) -> None:
    source = workbook(tmp_path / "w.xlsx", plain, sheet="Payment")
    message = str(rejected(source))
    assert (
        "has no sheet 'Payment' (did you mean 'Payments'?); it has 'Payments', 'Empty'" in message
    )
    assert str(tmp_path / "w.xlsx") in message


def test_text_in_place_of_a_number_is_named_by_sheet_row_and_column(
    tmp_path: Path, rejected: Refuse
) -> None:
    def fill(sheet: Any, book: Any) -> None:
        plain(sheet, book)
        sheet.write_row(2, 0, [2, "2025-01-03", "n/a"])
        sheet.write_row(3, 0, [3, "2025-01-03", "tba"])

    error = rejected(workbook(tmp_path / "w.xlsx", fill))
    assert str(error) == (
        f"sheet 'Payments' of {str(tmp_path / 'w.xlsx')!r}, row 3, column C ('sum'): "
        "'n/a' is not a number (1 more such rows)"
    )
    assert error.detail == {
        "place": f"sheet 'Payments' of {str(tmp_path / 'w.xlsx')!r}",
        "row": 3,
        "column": "sum",
        "text": "n/a",
    }


def test_rows_and_columns_are_counted_as_the_program_shows_them(
    tmp_path: Path, rejected: Refuse
) -> None:
    def fill(sheet: Any, book: Any) -> None:
        del book
        sheet.write_row(4, 27, ["no", "day", "sum"])
        sheet.write_row(7, 27, [2, "2025-01-03", "n/a"])

    message = str(rejected(workbook(tmp_path / "w.xlsx", fill, header_row=5)))
    assert "row 8, column AD ('sum')" in message


def test_text_in_a_column_of_a_month_is_named_too(tmp_path: Path, rejected: Refuse) -> None:
    def fill(sheet: Any, book: Any) -> None:
        del book
        sheet.write_row(0, 0, ["account", "2025-01", "2025-02"])
        sheet.write_row(1, 0, ["4000", 5, "open"])

    source = workbook(
        tmp_path / "w.xlsx",
        fill,
        role="budget",
        columns={"entity": {"constant": "A1"}, "account": "account"},
        unpivot={},
    )
    assert "row 2, column C ('2025-02'): 'open' is not a number" in str(rejected(source))


def test_merged_headers_are_named_by_their_cells(tmp_path: Path, rejected: Refuse) -> None:
    def fill(sheet: Any, book: Any) -> None:
        del book
        sheet.write_row(0, 0, ["no", "day"])
        sheet.merge_range(0, 2, 0, 3, "sum")
        sheet.write_row(1, 0, [1, "2025-01-02", 5, 6])

    error = rejected(workbook(tmp_path / "w.xlsx", fill))
    assert "the header 'sum' spans more than one column (C1:D1); unmerge it" in str(error)


def test_a_column_with_values_and_no_header_beside_a_wanted_one_is_taken_for_merged(
    tmp_path: Path, rejected: Refuse
) -> None:
    def fill(sheet: Any, book: Any) -> None:
        plain(sheet, book)
        sheet.write(1, 3, 17)

    assert "(C1:D1)" in str(rejected(workbook(tmp_path / "w.xlsx", fill)))


def test_a_title_merged_above_the_headers_is_no_matter_once_the_header_row_is_given(
    tmp_path: Path, read: Read, rejected: Refuse
) -> None:
    def fill(sheet: Any, book: Any) -> None:
        del book
        sheet.merge_range(0, 0, 0, 2, "Payments of the year")
        sheet.write_row(1, 0, ["no", "day", "sum"])
        sheet.write_row(2, 0, [1, "2025-01-02", 5])

    source = workbook(tmp_path / "w.xlsx", fill)
    assert "they stand in row 2: set `header_row: 2`" in str(rejected(source))
    source["tables"][0]["header_row"] = 2
    assert read(source)["amount_cents"].to_list() == [500]


def test_a_header_that_is_there_twice_is_refused(tmp_path: Path, rejected: Refuse) -> None:
    def fill(sheet: Any, book: Any) -> None:
        plain(sheet, book)
        sheet.write(0, 3, "sum")

    assert "has the header 'sum' 2 times" in str(rejected(workbook(tmp_path / "w.xlsx", fill)))


def test_an_error_of_a_formula_is_not_taken_for_an_empty_cell(
    tmp_path: Path, rejected: Refuse
) -> None:
    def fill(sheet: Any, book: Any) -> None:
        plain(sheet, book)
        sheet.write_formula(2, 2, "=1/0", None, "#DIV/0!")

    message = str(rejected(workbook(tmp_path / "w.xlsx", fill)))
    assert "row 3, column C: the formula gives #DIV/0!" in message


def test_an_empty_sheet_is_named(tmp_path: Path, rejected: Refuse) -> None:
    source = workbook(tmp_path / "w.xlsx", plain, sheet="Empty")
    assert "sheet 'Empty'" in str(rejected(source))
    assert "is empty" in str(rejected(source))


def test_headers_without_a_value_beneath_them_are_an_empty_sheet(
    tmp_path: Path, rejected: Refuse
) -> None:
    def fill(sheet: Any, book: Any) -> None:
        del book
        sheet.write_row(0, 0, ["no", "day", "sum"])

    message = str(rejected(workbook(tmp_path / "w.xlsx", fill)))
    assert "has headers in row 1 and not one value beneath them" in message


def test_a_row_of_totals_is_named_by_what_it_lacks(tmp_path: Path, rejected: Refuse) -> None:
    def fill(sheet: Any, book: Any) -> None:
        plain(sheet, book)
        sheet.write(2, 2, 5)

    message = str(rejected(workbook(tmp_path / "w.xlsx", fill)))
    assert "row 3, column A ('no') is empty" in message
    assert "take the row out" in message


def test_a_file_that_is_no_workbook_is_named(tmp_path: Path, rejected: Refuse) -> None:
    source = workbook(tmp_path / "w.xlsx", plain)
    (tmp_path / "w.xlsx").write_text("no,day,sum\n")
    assert "is not a workbook that can be read" in str(rejected(source))


# --- csv --------------------------------------------------------------------------------------


def test_a_missing_file_is_named_with_where_it_was_looked_for(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_csv(tmp_path / "p.csv", b"")
    source["path"] = "books/none.csv"
    message = str(rejected(source))
    assert message.startswith("source 'p': there is no file 'books/none.csv'")
    assert str(Path.cwd()) in message


def test_a_wrong_encoding_is_named_by_line_and_byte_with_a_better_one(
    tmp_path: Path, rejected: Refuse
) -> None:
    content = "no,day,sum\n1,2025-01-02,5\nMüller,2025-01-02,5\n".encode("latin-1")
    error = rejected(in_csv(tmp_path / "p.csv", content))
    assert str(error) == (
        f"file {str(tmp_path / 'p.csv')!r}, line 3: byte 27 (0xfc) is not utf-8; "
        "set `encoding: cp1252`"
    )


def test_utf8_read_as_something_else_is_noticed(tmp_path: Path, rejected: Refuse) -> None:
    source = in_csv(
        tmp_path / "p.csv", "no,day,sum\nMüller,2025-01-02,5\n".encode(), encoding="latin-1"
    )
    assert "is UTF-8, not latin-1" in str(rejected(source))


def test_an_encoding_that_does_not_exist_is_named(tmp_path: Path, rejected: Refuse) -> None:
    source = in_csv(tmp_path / "p.csv", b"no,day,sum\n1,2025-01-02,5\n", encoding="lattin-1")
    assert "'lattin-1' is not an encoding (did you mean 'latin-1'?)" in str(rejected(source))


def test_a_missing_column_is_named_with_those_that_exist(tmp_path: Path, rejected: Refuse) -> None:
    source = in_csv(tmp_path / "p.csv", b"no,day,summe\n1,2025-01-02,5\n")
    message = str(rejected(source))
    assert (
        "line 1 has no header 'sum' (did you mean 'summe'?); it has 'no', 'day', 'summe'" in message
    )


def test_a_wrong_separator_shows_in_the_headers_that_were_found(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_csv(tmp_path / "p.csv", b"no;day;sum\n1;2025-01-02;5\n")
    assert "it has 'no;day;sum'" in str(rejected(source))


def test_an_amount_of_another_language_is_refused_and_not_misread(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_csv(tmp_path / "p.csv", b'no,day,sum\n1,2025-01-02,"1.234,56"\n')
    assert "line 2, column 'sum': '1.234,56' is not a number" in str(rejected(source))


def test_a_date_of_another_form_is_refused_with_the_way_to_say_it(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_csv(tmp_path / "p.csv", b"no,day,sum\n1,31.01.2025,5\n")
    message = str(rejected(source))
    assert (
        "line 2, column 'day': '31.01.2025' is not a date (YYYY-MM-DD; else give `format`)"
        in message
    )


def test_a_broken_quote_is_named_by_its_line(tmp_path: Path, rejected: Refuse) -> None:
    source = in_csv(tmp_path / "p.csv", b'no,day,sum\n"1,2025-01-02,5\n')
    assert "is not csv: unexpected end of data" in str(rejected(source))


def test_an_empty_file_is_named(tmp_path: Path, rejected: Refuse) -> None:
    assert "is empty" in str(rejected(in_csv(tmp_path / "p.csv", b"")))


def test_a_word_that_nobody_knows_is_named_with_those_that_are_known(
    tmp_path: Path, rejected: Refuse
) -> None:
    source = in_csv(
        tmp_path / "p.csv",
        b"no,day,sum,way\n1,2025-01-02,5,outgoing\n",
        table={"columns": {**COLUMNS, "direction": "way"}},
    )
    message = str(rejected(source))
    assert "'outgoing' is not one of in, out; map it with `values`" in message


def test_an_amount_beyond_all_reason_is_refused(tmp_path: Path, rejected: Refuse) -> None:
    source = in_csv(tmp_path / "p.csv", b"no,day,sum\n1,2025-01-02,1e300\n")
    assert "too large an amount" in str(rejected(source))
