"""What is asked for twice is done once: the copy of a request changes nothing, also much later."""

from typing import Any

import pytest

from dalsegno_bus.messages import PauseRun, ReplanRun, ResumeRun, RetryRun, RewindRun
from dalsegno_orchestrator.workflow.decider import RunMessage
from dalsegno_orchestrator.workflow.facts import PlanChosen
from support.scenario import RUN, Scenario, kinds, plan_of, scenario

TWO: dict[str, Any] = {
    "one": {"capability": "do"},
    "two": {"capability": "do", "after": ["one"], "retry": {"max_attempts": 1}},
}
LATER = {**TWO, "three": {"capability": "do", "after": ["two"]}}


def running() -> Scenario:
    run = scenario(TWO)
    run.start()
    run.done("one")
    return run


def failed() -> Scenario:
    run = running()
    run.fail("two")
    return run


@pytest.mark.parametrize(
    ("begun", "request_", "kind"),
    [
        (running, PauseRun(run_id=RUN), "run-paused"),
        (running, RewindRun(run_id=RUN, task_id="one"), "run-rewound"),
        (failed, RetryRun(run_id=RUN), "run-reopened"),
        (running, ReplanRun(run_id=RUN, add={"new": {"capability": "do"}}), "run-replanned"),
        (running, PlanChosen(plan=plan_of(LATER, version=2)), "run-migrated"),
    ],
)
def test_a_copy_of_a_request_changes_nothing(begun: Any, request_: RunMessage, kind: str) -> None:
    run = begun()
    assert kind in kinds(run.when(request_, message_id="ask"))
    assert run.when(request_, message_id="ask") == []


def test_a_copy_of_a_retry_does_nothing_when_the_run_has_failed_again() -> None:
    run = failed()
    retry = RetryRun(run_id=RUN)
    run.when(retry, message_id="ask")
    run.fail("two", attempt=2)
    assert run.run.status == "failed"
    assert run.when(retry, message_id="ask") == []
    assert kinds(run.when(retry, message_id="other"))[0] == "run-reopened"


def test_a_copy_of_a_resume_does_not_wake_a_run_that_was_paused_again() -> None:
    run = running()
    run.when(PauseRun(run_id=RUN), message_id="first")
    run.when(ResumeRun(run_id=RUN), message_id="second")
    run.when(PauseRun(run_id=RUN), message_id="third")
    assert run.when(ResumeRun(run_id=RUN), message_id="second") == []
    assert run.run.status == "paused"
