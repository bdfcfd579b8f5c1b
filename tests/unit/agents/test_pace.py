"""How far a replica reaches ahead."""

from dalsegno_agents.pace import AHEAD_MAX, Pace


def test_the_reach_follows_the_rate() -> None:
    pace = Pace()

    assert pace.took(500, at=1.0)
    assert pace.ahead == 50
    assert pace.took(20, at=2.0)
    assert pace.ahead == 2


def test_a_similar_rate_changes_nothing() -> None:
    pace = Pace()
    pace.took(500, at=1.0)

    assert not pace.took(600, at=2.0)
    assert pace.ahead == 50


def test_a_moment_is_too_short_to_tell() -> None:
    pace = Pace()

    assert not pace.took(1_000, at=0.1)
    assert pace.took(1_000, at=0.5)


def test_the_reach_has_bounds() -> None:
    pace = Pace()

    pace.took(1_000_000, at=1.0)
    assert pace.ahead == AHEAD_MAX
    pace.took(1, at=1_000.0)
    assert pace.ahead == 1


def test_without_room_it_reaches_for_one_at_a_time() -> None:
    pace = Pace()
    pace.took(500, at=1.0)

    pace.full(at=2.0)

    assert pace.ahead == 1
    assert not pace.took(1, at=3.0)
