"""Output as it comes about: what is written for each piece."""

from datetime import UTC, datetime

from dalsegno.stream import Stream
from dalsegno_bus.ids import RunId, run_id_of_key
from dalsegno_bus.messages import Json, Output

RUN: RunId = run_id_of_key("ds", "test", "one")


def piece(task_id: str, number: int, words: Json, attempt: int = 1) -> Output:
    return Output(
        run_id=RUN, task_id=task_id, attempt=attempt, agent="a", replica="r",
        number=number, piece=words, at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def written(*pieces: Output) -> str:
    stream = Stream()
    return "".join(stream.text_of(one) for one in pieces) + stream.end()


def test_pieces_of_one_task_make_one_text_under_its_name() -> None:
    assert written(piece("write", 0, "Dear "), piece("write", 1, "Ada,\nwe")) == (
        "[write]\nDear Ada,\nwe\n"
    )


def test_each_change_of_the_task_has_a_heading_on_a_line_of_its_own() -> None:
    text = written(piece("a", 0, "one"), piece("b", 0, "two\n"), piece("a", 1, "more"))
    assert text == "[a]\none\n[b]\ntwo\n[a]\nmore\n"


def test_another_attempt_begins_anew_and_says_so() -> None:
    text = written(piece("a", 0, "half"), piece("a", 0, "whole", attempt=2))
    assert text == "[a]\nhalf\n[a, attempt 2]\nwhole\n"


def test_pieces_that_were_missed_are_counted() -> None:
    text = written(piece("a", 3, "in the middle"), piece("a", 4, ", "), piece("a", 6, "end"))
    assert text == "[a]\n[… 3 missed …]in the middle, [… 1 missed …]end\n"


def test_what_is_no_text_is_json_on_a_line() -> None:
    assert written(piece("a", 0, {"row": [1, None]}), piece("a", 1, 2)) == (
        '[a]\n{"row":[1,null]}\n2\n'
    )


def test_nobody_elses_text_steers_the_terminal() -> None:
    assert written(piece("a", 0, "red\x1b[31m\x07\tand\n")) == "[a]\nred[31m\tand\n"


def test_nothing_is_written_of_nothing() -> None:
    assert written() == ""
