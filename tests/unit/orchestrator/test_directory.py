"""Who is there, who is free, and who has gone."""

from datetime import UTC, datetime, timedelta

import pytest

from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import encode
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.messages import AgentCard, CapabilityCard, Presence
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.workflow.events import (
    Abandoned,
    RunCancelled,
    TaskAssigned,
    TaskCompleted,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def card(agent: str, *capabilities: str, cost: float = 0.0) -> Entry:
    listed = tuple(CapabilityCard(name=name, cost_usd=cost) for name in capabilities)
    body = encode(AgentCard(agent=agent, capabilities=listed))
    return Entry(f"card.{agent}", body, 1)


def live(
    agent: str,
    replica: str,
    *,
    slots: int = 4,
    working: tuple[str, ...] = (),
    draining: bool = False,
) -> Entry:
    presence = Presence(
        agent=agent,
        replica=replica,
        started_at=NOW,
        concurrency=slots,
        working=working,
        draining=draining,
    )
    return Entry(f"live.{agent}.{replica}", encode(presence), 1)


def assigned(agent: str, task: str = "t") -> TaskAssigned:
    return TaskAssigned(task_id=task, attempt=1, agent=agent, capability="do")


def test_an_agent_is_known_by_its_card_even_while_no_replica_lives() -> None:
    directory = Directory()
    assert directory.hear(card("a", "do"), NOW)
    (view,) = directory.capable("do")
    assert (view.name, view.slots) == ("a", 0)
    assert directory.capable("other") == ()


def test_replicas_add_up_and_a_draining_one_does_not_count() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    assert directory.hear(live("a", "one", slots=2), NOW)
    assert directory.hear(live("a", "two", slots=3), NOW)
    assert directory.capable("do")[0].slots == 5
    assert not directory.hear(live("a", "two", slots=3, draining=True), NOW)
    assert directory.capable("do")[0].slots == 2


def test_a_renewed_presence_is_no_news() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    directory.hear(live("a", "one"), NOW)
    assert not directory.hear(live("a", "one"), NOW + timedelta(seconds=3))


def test_a_replica_that_falls_silent_is_lost_and_its_agent_gone_after_a_while() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    directory.hear(live("a", "one"), NOW)
    later = NOW + timedelta(seconds=11)
    directory.expire(later)
    assert directory.capable("do")[0].slots == 0
    assert directory.gone(later, after_seconds=15) == frozenset()
    much_later = later + timedelta(seconds=15)
    assert directory.gone(much_later, after_seconds=15) == {"a"}
    assert directory.gone(much_later, after_seconds=15) == frozenset(), "told once"


def test_an_agent_that_comes_back_can_be_gone_again() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    assert directory.gone(NOW + timedelta(seconds=60), after_seconds=15) == {"a"}
    directory.hear(live("a", "one"), NOW + timedelta(seconds=61))
    directory.hear(Entry("live.a.one", None, 2), NOW + timedelta(seconds=62))
    assert directory.gone(NOW + timedelta(seconds=120), after_seconds=15) == {"a"}


def test_since_when_an_attempt_is_worked_on_stays_as_it_was_first_seen() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    directory.hear(live("a", "one", working=("r/t/1",)), NOW)
    directory.hear(live("a", "one", working=("r/t/1", "r/u/1")), NOW + timedelta(seconds=3))
    assert directory.working_since("a", "r/t/1") == NOW
    assert directory.working_since("a", "r/u/1") == NOW + timedelta(seconds=3)
    assert directory.working_since("a", "r/v/1") is None
    assert directory.working_since("b", "r/t/1") is None


def test_open_attempts_follow_the_history() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    directory.observe([assigned("a"), assigned("a", "u")], NOW)
    assert directory.capable("do")[0].open_attempts == 2
    done = TaskCompleted(
        task_id="t", attempt=1, agent="a", replica="r", capability="do", work_seconds=2.0
    )
    directory.observe([done], NOW)
    view = directory.capable("do")[0]
    assert view.open_attempts == 1
    assert view.skills["do"].completed == 1
    gone = Abandoned(task_id="u", attempt=1, agent="a")
    directory.observe([RunCancelled(reason="", abandoned=(gone,))], NOW)
    assert directory.capable("do")[0].open_attempts == 0


def test_a_new_card_keeps_what_was_seen_of_the_agent() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    directory.hear(live("a", "one", slots=2), NOW)
    directory.observe([assigned("a")], NOW)
    directory.hear(card("a", "do", "more", cost=0.5), NOW)
    view = directory.capable("do")[0]
    assert (view.slots, view.open_attempts, view.skills["do"].cost_usd) == (2, 1, 0.5)


def test_a_card_that_is_none_is_refused_and_changes_nothing() -> None:
    directory = Directory()
    with pytest.raises(DecodeFailed):
        directory.hear(Entry("card.a", b"{}", 1), NOW)
    assert not directory.hear(Entry("unknown.a", b"{}", 1), NOW)
    assert directory.capable("do") == ()


@pytest.mark.parametrize(("key", "agent"), [("card.a", "b"), ("card.No Token", "No Token")])
def test_a_card_that_names_another_agent_or_no_possible_one_is_not_believed(
    key: str, agent: str
) -> None:
    directory = Directory()
    value = card(agent, "do").value
    with pytest.raises(DecodeFailed):
        directory.hear(Entry(key, value, 1), NOW)
    assert directory.capable("do") == ()


def test_the_presence_of_another_agent_is_not_believed() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    with pytest.raises(DecodeFailed):
        directory.hear(Entry("live.b.one", live("a", "one").value, 1), NOW)
    assert directory.capable("do")[0].slots == 0


def test_a_presence_may_promise_to_last_longer_than_time_itself() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    presence = Presence(agent="a", replica="one", started_at=NOW, concurrency=1, ttl_seconds=10**15)
    directory.hear(Entry("live.a.one", encode(presence), 1), NOW)
    directory.expire(NOW + timedelta(days=1))
    assert directory.capable("do")[0].slots == 1


def test_who_is_gone_is_told_for_as_long_as_it_is() -> None:
    directory = Directory()
    directory.hear(card("a", "do"), NOW)
    assert directory.absent() == frozenset()
    directory.gone(NOW + timedelta(seconds=60), after_seconds=15)
    assert directory.absent() == {"a"}
    directory.hear(live("a", "one"), NOW + timedelta(seconds=61))
    assert directory.absent() == frozenset()
