"""The shared context: who wrote what over what, and who read which version."""

from typing import Any

import pytest

from dalsegno_orchestrator.workflow.decider import command_of
from dalsegno_orchestrator.workflow.events import ContextConflicted, ContextShared, TaskFailed
from support.reports import shared
from support.scenario import Scenario, assigned, kinds, scenario

DO: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 2, "delay": "1s", "jitter": 0}}
PAIR = {"one": DO, "two": DO}
READ = {"last": {"capability": "do", "input": "${ context.key }", "after": ["one", "two"]}}


def pair(rule: str | None, **tasks: Any) -> Scenario:
    context = {} if rule is None else {"context": {"key": {"on_conflict": rule}}}
    run = scenario(PAIR | tasks, **context)
    run.start()
    return run


def test_a_value_is_read_later_and_the_history_says_which_version() -> None:
    run = pair(None, **READ)
    assert run.when(shared("one", "key", 5)) == [
        ContextShared(task_id="one", attempt=1, agent="a", key="key", key_version=1, value=5)
    ]
    run.when(shared("two", "key", 6))
    run.done("one")
    given = assigned(run.done("two"))["last"]
    assert (given.input, given.context_read) == (6, {"key": 2})
    assert command_of(run.run, run.task("last"), 1).context_versions == {"key": 2}


def test_a_key_that_nobody_wrote_is_read_as_version_nothing() -> None:
    run = scenario({"one": {**DO, "input": "${ has(context.key) }"}})
    assert assigned(run.start())["one"].context_read == {"key": 0}


@pytest.mark.parametrize(
    ("rule", "there", "new", "result"),
    [
        ("last", 1, 2, 2),
        ("append", [1], [1, 2], [1, 1, 2]),
        ("append", 1, 2, [1, 2]),
        ("union", [1], [1, 2], [1, 2]),
        ("sum", 1, 2.5, 3.5),
        ("min", 1, 2, 1),
        ("max", 1, 2, 2),
        ("merge", {"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}),
    ],
)
def test_two_that_write_unseen_are_brought_together_as_declared(
    rule: str, there: Any, new: Any, result: Any
) -> None:
    run = pair(rule)
    run.when(shared("one", "key", there, seen=0))
    events = run.when(shared("two", "key", new, seen=0))
    assert isinstance(events[0], ContextShared)
    assert (events[0].value, events[0].key_version) == (result, 2)
    assert events[0].merged == (rule != "last")


@pytest.mark.parametrize("rule", ["append", "sum", "reject"])
def test_who_has_seen_what_is_there_just_writes(rule: str) -> None:
    run = pair(rule)
    run.when(shared("one", "key", 1, seen=0))
    events = run.when(shared("two", "key", 2, seen=1))
    assert isinstance(events[0], ContextShared)
    assert (events[0].value, events[0].merged) == (2, False)


@pytest.mark.parametrize(
    ("rule", "new"), [("reject", 2), ("sum", "two"), ("merge", 3), ("max", True)]
)
def test_what_cannot_be_brought_together_fails_the_attempt_that_wrote_unseen(
    rule: str, new: Any
) -> None:
    run = pair(rule)
    run.when(shared("one", "key", 1, seen=0))
    events = run.when(shared("two", "key", new, seen=0))
    assert kinds(events) == ["context-conflicted", "task-failed", "retry-scheduled"]
    assert isinstance(events[0], ContextConflicted)
    assert (events[0].base_version, events[0].key_version) == (0, 1)
    assert isinstance(events[1], TaskFailed)
    assert (events[1].error.code, events[1].retryable) == ("context.conflict", True)
    assert run.run.context["key"] == 1
    run.after(1)
    assert command_of(run.run, run.task("two"), 2).context_versions == {"key": 1}
    again = run.when(shared("two", "key", 7, attempt=2, seen=1))
    assert kinds(again) == ["context-shared"]


def test_the_last_conflict_fails_the_task() -> None:
    run = pair("reject")
    run.when(shared("one", "key", 1, seen=0))
    run.when(shared("two", "key", 2, seen=0))
    run.after(1)
    events = run.when(shared("two", "key", 2, attempt=2, seen=0))
    assert kinds(events) == ["context-conflicted", "task-failed", "run-failed"]


def test_a_copy_of_a_report_changes_nothing_though_others_wrote_since() -> None:
    run = pair("append")
    first = shared("one", "key", 1, seen=0)
    run.when(first)
    run.when(shared("two", "key", 2, seen=0))
    assert run.when(first) == []
    assert run.run.context["key"] == [1, 2]


def test_a_writer_whose_attempt_is_over_or_another_agents_writes_nothing() -> None:
    run = pair(None)
    assert run.when(shared("one", "key", 1, agent="b")) == []
    assert run.when(shared("one", "key", 1, attempt=2)) == []
    run.done("one")
    assert run.when(shared("one", "key", 1)) == []


def test_the_next_attempt_may_write_the_key_again() -> None:
    run = pair(None)
    run.when(shared("one", "key", 1))
    run.fail("one")
    run.after(1)
    assert kinds(run.when(shared("one", "key", 2, attempt=2))) == ["context-shared"]


def test_an_input_that_waited_is_made_from_what_is_there_when_it_goes_out() -> None:
    run = scenario({"one": DO, "two": {"capability": "rare", "input": "${ context.key }"}})
    run.start()
    assert run.task("two").status == "failed", "nobody has written yet"
    late = scenario(
        {"one": DO, "two": {"capability": "rare", "input": {"n": "${ has(context.key) }"}}}
    )
    late.start()
    assert late.task("two").status == "parked"
    late.when(shared("one", "key", 1))
    late.agents.add("b", "rare")
    given = assigned(late.join())["two"]
    assert (given.input, given.context_read) == ({"n": True}, {"key": 1})
