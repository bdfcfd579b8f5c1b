"""How values and words look, and what people may type for them."""

from pathlib import Path

import pytest

from dalsegno.inputs import check_reference, read_json, read_labels, read_seconds
from dalsegno.output import clean, moment, seconds, size
from dalsegno.shown import ID_CHARACTERS, short_ids
from dalsegno_bus.errors import UsageError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "<1 ms"),
        (0.0421, "42 ms"),
        (1.25, "1.2 s"),
        (59.94, "59.9 s"),
        (61.0, "1 min 01 s"),
        (3_725.0, "1 h 02 min"),
    ],
)
def test_a_duration_has_its_unit(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_a_size_has_its_unit() -> None:
    assert [size(count) for count in (17, 2_048, 3 * 1024 * 1024)] == ["17 B", "2.0 KiB", "3.0 MiB"]


def test_a_time_is_shown_to_the_second() -> None:
    assert moment("2026-01-31T12:00:01.999999+00:00") == "2026-01-31 12:00:01"
    assert moment(None) == "-"


def test_words_are_one_line_and_steer_nothing() -> None:
    assert clean("a\n\tb\x1b[31m\x07\x9bc\u202e") == "a b[31mc\u202e"


def test_ids_are_cut_where_they_still_differ() -> None:
    one, two = "01a20746-af62-7c76-934d-a7c115480a34", "01a20746-af62-7c76-934d-b7c115480a34"
    assert short_ids([one]) == {one: "01a20746-af62"}
    assert len(short_ids([one])[one]) == ID_CHARACTERS
    assert short_ids([one, two]) == {one: one[:25], two: two[:25]}
    assert short_ids([]) == {}


def test_json_is_read_from_the_option_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"a": [1, 2.5, null]}')
    assert read_json(f"@{tmp_path / 'mine.json'}", "--input") == {"a": [1, 2.5, None]}
    assert read_json('"text"', "--input") == "text"
    assert read_json(None, "--input") is None


def test_what_is_no_json_says_where() -> None:
    with pytest.raises(UsageError, match=r"--input is not JSON: .*line 1, column 7"):
        read_json('{"a": ,}', "--input")


def test_labels_are_pairs() -> None:
    assert read_labels(("a=1", "b=x=y")) == {"a": "1", "b": "x=y"}
    for pair in ("a", "=1"):
        with pytest.raises(UsageError, match="KEY=VALUE"):
            read_labels((pair,))


def test_a_time_to_wait_has_a_unit_or_counts_seconds() -> None:
    assert read_seconds("90", "--timeout") == 90.0
    assert read_seconds("1.5", "--timeout") == 1.5
    assert read_seconds("2m", "--timeout") == 120.0
    assert read_seconds(None, "--timeout") is None
    with pytest.raises(UsageError, match="--timeout: "):
        read_seconds("soon", "--timeout")


def test_a_run_is_named_by_its_id_or_by_enough_of_it() -> None:
    for reference in ("01a20746", "01A20746-af62", "01a20746-af62-7c76-934d-a7c115480a34"):
        assert check_reference(reference) == reference
    for reference in ("01a2074", "hello-there", "01a20746-af62-7c76-934d-a7c115480a34aa", ""):
        with pytest.raises(UsageError, match="dalsegno runs list"):
            check_reference(reference)
