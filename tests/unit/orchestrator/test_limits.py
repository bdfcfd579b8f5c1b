"""What is set as limits and what is taken of them, as decisions see it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dalsegno_bus.errors import LimitsExceeded
from dalsegno_bus.ids import LIMITS, TaskId, run_id_of_key
from dalsegno_bus.messages import SetLimit
from dalsegno_orchestrator.history import seal
from dalsegno_orchestrator.limits.ledger import LimitsLedger, Newcomers, Served
from dalsegno_orchestrator.limits.settings import LimitChange
from dalsegno_orchestrator.store import Store
from dalsegno_orchestrator.workflow.events import (
    Permit,
    RunEnding,
    RunEvent,
    TaskAssigned,
    TaskCompleted,
)
from dalsegno_orchestrator.workflow.facts import Shortage
from dalsegno_orchestrator.workflow.grammar.policies import Limits as Declared
from dalsegno_orchestrator.workflow.run import Opened, Run, Task
from support.scenario import plan_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NONE = Declared()
TOKENS = "quota:tokens"
PLAN = plan_of({"one": {"capability": "do"}, "two": {"capability": "do"}})
LIMITED = plan_of({"one": {"capability": "do"}}, limits={"concurrency": 2, "rate": "3/m"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path}/store.db", namespace="ds")
    opened.ensure_schema()
    yield opened
    opened.close()


class Hand:
    """A ledger, and what orchestrators do with it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ledger = LimitsLedger(store)
        self.now = BEGIN
        self.runs: dict[str, Run] = {}

    def set(
        self,
        limit: str = TOKENS,
        *,
        concurrency: float | None = None,
        rate: float | None = None,
        seconds: float = 60.0,
    ) -> LimitChange | None:
        message = SetLimit(limit=limit, concurrency=concurrency, rate=rate, rate_seconds=seconds)
        change = self.ledger.settings.decide(message)
        assert not isinstance(change, list), change
        if change is not None:
            sealed = seal(
                change.stream, change.version, change.event,
                at=self.now, by="t", cause="m", previous=change.previous,
            )  # fmt: skip
            self.store.append([sealed])
            self.ledger.settings.read()
        return change

    def shortage(
        self, amount: float = 1.0, *, limit: str = TOKENS, declared: Declared = NONE
    ) -> Shortage | None:
        wanted = [Permit(limit=limit, amount=amount)]
        return self.ledger.shortage(wanted, declared=declared, taken={}, now=self.now)

    def run(self, name: str) -> Run:
        if name not in self.runs:
            run_id = run_id_of_key("ds", "test", name)
            self.runs[name] = Run(id=run_id, plan=PLAN, follows=PLAN.digest, started_at=BEGIN)
        return self.runs[name]

    def take(
        self, run: Run, *permits: Permit, task: str = "one", attempt: int = 1, keep: bool = True
    ) -> None:
        """An attempt is assigned, and stored."""
        known = run.tasks.get(TaskId(task))
        if known is None:
            step = run.plan.steps[task]
            known = Task(id=TaskId(task), step=step, changed_at=BEGIN)
            run.tasks[known.id] = known
        known.opened[attempt] = Opened("a", self.now)
        event = TaskAssigned(
            task_id=task, attempt=attempt, agent="a", capability="do", permits=permits
        )
        self.observe(run, [event], keep=keep)

    def end(self, run: Run, *, task: str = "one", attempt: int = 1) -> None:
        del run.tasks[TaskId(task)].opened[attempt]
        event = TaskCompleted(
            task_id=task, attempt=attempt, agent="a", replica="r", capability="do"
        )
        self.observe(run, [event])

    def observe(self, run: Run, events: Sequence[RunEvent], *, keep: bool = True) -> None:
        change = self.ledger.observe(run, events, self.now)
        run.version += 1
        if keep:
            sealed = seal(
                run.id, run.version, events[0], at=self.now, by="t", cause="m", previous=b""
            )
            self.store.append([sealed], permits=change)

    def standing(self) -> float:
        return sum(row.amount for row in self.store.permits() if row.given_back_at is None)


@pytest.fixture
def hand(store: Store) -> Hand:
    return Hand(store)


def permit(amount: float = 1.0, limit: str = TOKENS) -> Permit:
    return Permit(limit=limit, amount=amount)


# --- what is set -------------------------------------------------------------------------------


def test_a_limit_is_set_changed_and_removed(hand: Hand) -> None:
    assert not hand.ledger.is_set(TOKENS)
    hand.set(concurrency=2)
    assert hand.ledger.is_set(TOKENS)
    assert hand.set(concurrency=2) is None
    assert hand.set(rate=10) is not None
    assert hand.ledger.settings.changed() == {TOKENS}
    assert hand.ledger.settings.changed() == set()
    assert hand.set() is not None
    assert not hand.ledger.is_set(TOKENS)
    assert hand.set() is None
    kinds = [recorded.event.kind for recorded in hand.store.read(LIMITS)]
    assert kinds == ["limit-set.v1", "limit-set.v1", "limit-removed.v1"]


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("workflow:daily", "is set by the workflow itself"),
        ("tokens", "'tokens' is no limit"),
        ("quota:Big Tokens", "a quota's name must match"),
        ("capability:a..b", "a capability must match"),
    ],
)
def test_what_is_no_limit_is_refused_with_what_to_write(hand: Hand, limit: str, says: str) -> None:
    problems = hand.ledger.settings.decide(SetLimit(limit=limit, concurrency=1))
    assert isinstance(problems, list)
    assert says in str(problems[0])
    assert hand.store.read(LIMITS) == []


def test_what_another_orchestrator_set_is_read(hand: Hand) -> None:
    Hand(hand.store).set(concurrency=1)
    hand.ledger.settings.read()
    assert hand.ledger.is_set(TOKENS)


# --- what is taken -----------------------------------------------------------------------------


def test_there_is_room_until_so_much_is_taken_and_again_when_it_is_given_back(hand: Hand) -> None:
    hand.set(concurrency=2)
    run = hand.run("a")
    hand.take(run, permit())
    assert hand.shortage() is None
    hand.take(run, permit(), task="two")
    short = hand.shortage()
    assert short == Shortage(limit=TOKENS, reason="quota:tokens is used up: 2 of 2 taken")
    hand.ledger.freed(hand.now)
    hand.end(run)
    assert hand.ledger.freed(hand.now) == {TOKENS}
    assert hand.shortage() is None
    assert hand.shortage(2.0) is not None
    assert hand.standing() == 1


def test_what_the_decision_under_way_takes_counts(hand: Hand) -> None:
    hand.set(concurrency=2)
    wanted = [permit()]
    ledger = hand.ledger
    for taken, is_short in (({}, False), ({TOKENS: 1.0}, False), ({TOKENS: 2.0}, True)):
        short = ledger.shortage(wanted, declared=NONE, taken=taken, now=hand.now)
        assert (short is not None) == is_short


def test_a_quota_that_is_not_set_leaves_no_room_and_says_how_to_set_it(hand: Hand) -> None:
    short = hand.shortage()
    assert short is not None
    assert "dalsegno limits set quota:tokens" in short.reason
    assert hand.shortage(limit="capability:do") is None


def test_a_workflow_says_of_itself_what_it_allows(hand: Hand) -> None:
    run = Run(id=hand.run("a").id, plan=LIMITED, follows=LIMITED.digest, started_at=BEGIN)
    declared, limit = LIMITED.definition.limits, "workflow:test"
    for attempt in (1, 2):
        assert hand.shortage(limit=limit, declared=declared) is None
        hand.take(run, permit(limit=limit), attempt=attempt)
    short = hand.shortage(limit=limit, declared=declared)
    assert short is not None
    assert short.until is None
    hand.end(run)
    hand.take(run, permit(limit=limit), attempt=3)
    hand.end(run, attempt=2)
    short = hand.shortage(limit=limit, declared=declared)
    assert short is not None
    assert short.until == BEGIN + timedelta(seconds=60)
    assert hand.shortage(limit=limit) is None  # another version that declares nothing


def test_a_rate_says_when_it_leaves_room(hand: Hand) -> None:
    hand.set(rate=2, seconds=10)
    run = hand.run("a")
    for attempt in (1, 2):
        hand.take(run, permit(), attempt=attempt)
        hand.end(run, attempt=attempt)
        hand.now += timedelta(seconds=3)
    short = hand.shortage()
    assert short is not None
    assert short.reason == "quota:tokens is used up: 2 of 2 begun within 10 s"
    assert short.until == BEGIN + timedelta(seconds=10) == hand.ledger.next_opening()
    hand.ledger.freed(hand.now)
    assert hand.ledger.freed(hand.now) == set()
    hand.now = BEGIN + timedelta(seconds=10)
    assert hand.ledger.freed(hand.now) == {TOKENS}
    assert hand.ledger.next_opening() is None
    assert hand.shortage() is None
    assert hand.shortage(2.0) is not None


def test_more_than_a_limit_ever_allows_is_told_apart(hand: Hand) -> None:
    hand.set(concurrency=2)
    served = Served(hand.ledger)
    wanted = [permit(3.0)]
    short = served.shortage(wanted, declared=NONE, taken={}, now=hand.now)
    assert short is not None
    assert "never allows more than 2" in short.reason
    assert served.never == TOKENS
    served = Served(hand.ledger)
    hand.take(hand.run("a"), permit())
    assert served.shortage([permit(2.0)], declared=NONE, taken={}, now=hand.now) is not None
    assert served.never is None


def test_a_newcomer_does_not_pass_those_that_wait(hand: Hand) -> None:
    hand.set(concurrency=2)
    waited_for: set[str] = set()
    newcomers = Newcomers(hand.ledger, waited_for.__contains__)
    assert newcomers.shortage([permit()], declared=NONE, taken={}, now=hand.now) is None
    waited_for.add(TOKENS)
    short = newcomers.shortage([permit()], declared=NONE, taken={}, now=hand.now)
    assert short == Shortage(limit=TOKENS, reason="others wait for quota:tokens")
    assert hand.shortage() is None


# --- what is stored ----------------------------------------------------------------------------


def test_a_run_that_ends_gives_everything_back(hand: Hand) -> None:
    hand.set(concurrency=5)
    run = hand.run("a")
    hand.take(run, permit())
    hand.take(run, permit(2.0), task="two")
    run.status = "cancelled"
    hand.observe(
        run, [TaskCompleted(task_id="x", attempt=1, agent="a", replica="r", capability="d")]
    )
    assert hand.standing() == 0
    assert hand.shortage(5.0) is None


def test_attempts_that_an_event_ends_without_naming_them_are_found(hand: Hand) -> None:
    hand.set(concurrency=5)
    run = hand.run("a")
    hand.take(run, permit())
    hand.take(run, permit(), task="two")
    run.tasks[TaskId("one")].opened.clear()
    ending = RunEnding.model_validate(
        {"outcome": "cancelled", "error": {"code": "x", "message": "x"}, "until": BEGIN}
    )
    hand.observe(run, [ending])
    assert [row.task_id for row in hand.store.permits() if row.given_back_at is None] == ["two"]


def test_a_run_without_permits_costs_nothing(hand: Hand) -> None:
    run = hand.run("a")
    event = TaskCompleted(task_id="one", attempt=1, agent="a", replica="r", capability="do")
    assert hand.ledger.observe(run, [event], hand.now) is None


def test_after_a_restart_the_store_tells_what_is_taken(hand: Hand) -> None:
    hand.set(concurrency=2, rate=3)
    run = hand.run("a")
    hand.take(run, permit(), attempt=1)
    hand.end(run, attempt=1)
    hand.take(run, permit(), attempt=2)
    hand.take(run, permit(), task="two")
    again = Hand(hand.store)
    again.ledger.settings.read()
    again.ledger.read_permits()
    assert again.shortage() is not None
    again.end(run, attempt=2)
    short = again.shortage()
    assert short is not None
    assert short.until is not None


def test_a_decision_on_an_old_view_is_refused_and_right_after_the_view_is_read(hand: Hand) -> None:
    hand.set(concurrency=1)
    other = Hand(hand.store)
    other.ledger.settings.read()
    other.take(other.run("b"), permit())
    assert hand.shortage() is None
    with pytest.raises(LimitsExceeded):
        hand.take(hand.run("a"), permit())
    hand.ledger.read_permits()
    assert hand.shortage() is not None
    assert hand.standing() == 1
    other.end(other.run("b"))
    hand.ledger.read_permits([TOKENS])
    assert TOKENS in hand.ledger.freed(hand.now)
    assert hand.shortage() is None


def test_what_was_decided_and_not_stored_is_forgotten(hand: Hand) -> None:
    hand.set(concurrency=1)
    hand.take(hand.run("a"), permit(), keep=False)
    assert hand.shortage() is not None
    hand.ledger.read_permits()
    assert hand.shortage() is None
