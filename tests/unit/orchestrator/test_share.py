"""How partitions are shared out: whole, fair, steady, and the same for whoever works it out."""

from collections import Counter
from collections.abc import Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dalsegno_orchestrator.leases.share import share

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
MEMBERS = st.sets(NAMES, min_size=1)
COUNTS = st.integers(min_value=1, max_value=40)


@st.composite
def owned(draw: st.DrawFn) -> tuple[int, set[str], dict[int, str]]:
    """Partitions, members, and owners of some, who need not be members."""
    count = draw(COUNTS)
    owners = draw(st.dictionaries(st.integers(0, count - 1), NAMES))
    return count, draw(MEMBERS), owners


def sizes(shared: Mapping[int, str], members: set[str]) -> list[int]:
    found = Counter(shared.values())
    return [found[member] for member in members]


@given(owned())
def test_every_partition_has_one_member_and_nobody_two_more_than_another(
    case: tuple[int, set[str], dict[int, str]],
) -> None:
    count, members, owners = case
    shared = share(count, members, owners)
    assert set(shared) == set(range(count))
    assert set(shared.values()) <= members
    assert max(sizes(shared, members)) - min(sizes(shared, members)) <= 1


@given(owned())
def test_nothing_moves_that_could_stay(case: tuple[int, set[str], dict[int, str]]) -> None:
    count, members, owners = case
    shared = share(count, members, owners)
    stayed = sum(shared[number] == owner for number, owner in owners.items())
    least, over = divmod(count, len(members))
    have = sorted((sum(o == member for o in owners.values()) for member in members), reverse=True)
    room = [least + (place < over) for place in range(len(have))]
    assert stayed == sum(map(min, have, room))


@given(owned(), st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_what_is_known(
    case: tuple[int, set[str], dict[int, str]], chance: Random
) -> None:
    count, members, owners = case
    listed, known = sorted(members), list(owners.items())
    chance.shuffle(listed)
    chance.shuffle(known)
    assert share(count, listed, dict(known)) == share(count, members, owners)


@given(owned())
def test_what_is_shared_out_stays_as_it_is(case: tuple[int, set[str], dict[int, str]]) -> None:
    count, members, owners = case
    shared = share(count, members, owners)
    assert share(count, members, shared) == shared


@given(owned(), st.randoms(use_true_random=False))
def test_members_who_claim_one_after_another_come_to_a_fair_share(
    case: tuple[int, set[str], dict[int, str]], chance: Random
) -> None:
    count, members, owners = case
    now = {number: owner for number, owner in owners.items() if owner in members}
    for _ in range(4):  # each round everybody acts once, on what stands then
        for member in chance.sample(sorted(members), len(members)):
            mine = {number for number, to in share(count, members, now).items() if to == member}
            given_up = {number for number, owner in now.items() if owner == member} - mine
            now = {number: owner for number, owner in now.items() if number not in given_up}
            now |= {number: member for number in mine if number not in now}
    assert set(now) == set(range(count))
    assert max(sizes(now, members)) - min(sizes(now, members)) <= 1


def test_without_members_nothing_is_shared_out() -> None:
    assert share(4, [], {0: "gone"}) == {}


def test_whoever_joins_gets_its_part_from_those_who_have_most() -> None:
    before = share(6, ["a", "b"], {})
    after = share(6, ["a", "b", "c"], before)
    assert Counter(after.values()) == {"a": 2, "b": 2, "c": 2}
    assert sum(after[number] != before[number] for number in before) == 2
