"""What a replica remembers of its answers."""

from dalsegno_agents.answers import Answer, Answers, AttemptKey
from dalsegno_bus.bus import Outgoing
from dalsegno_bus.ids import new_run_id

RUN = new_run_id()


def key(attempt: int) -> AttemptKey:
    return (RUN, "a", attempt)


def answer(body: bytes) -> Answer:
    return Answer(ending=(Outgoing("t.report", body),))


def test_the_oldest_answer_is_forgotten_first() -> None:
    answers = Answers(count_max=2)
    for attempt in (1, 2, 3):
        answers.remember(key(attempt), answer(b"x"))

    assert answers.get(key(1)) is None
    assert answers.get(key(2)) == answers.get(key(3)) == answer(b"x")


def test_large_answers_leave_room_for_fewer() -> None:
    answers = Answers(bytes_max=10)
    for attempt in (1, 2, 3):
        answers.remember(key(attempt), answer(b"12345"))

    assert len(answers) == 2
    assert answers.get(key(1)) is None


def test_an_answer_above_the_bound_is_not_kept_and_the_count_of_bytes_stays_right() -> None:
    answers = Answers(bytes_max=10)
    answers.remember(key(1), answer(b"x" * 11))
    answers.remember(key(2), answer(b"x" * 10))

    assert answers.get(key(1)) is None
    assert answers.get(key(2)) is not None


def test_the_first_answer_about_an_attempt_stays() -> None:
    answers = Answers()
    answers.remember(key(1), answer(b"first"))
    answers.remember(key(1), Answer())

    assert answers.get(key(1)) == answer(b"first")
