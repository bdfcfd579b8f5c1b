"""A task that goes on with another agent, and questions that agents ask each other."""

from typing import Any

from dalsegno_bus.messages import PauseRun, ResumeRun
from dalsegno_orchestrator.workflow.decider import command_of
from dalsegno_orchestrator.workflow.events import TaskFailed, TaskHandedOff
from dalsegno_orchestrator.workflow.rules.questions import QUESTIONS_MAX, answer_to
from dalsegno_orchestrator.workflow.rules.reports import HANDOFFS_MAX
from support.reports import handoff, question
from support.scenario import RUN, assigned, kinds, scenario

DO: dict[str, Any] = {"capability": "do", "retry": {"max_attempts": 2, "delay": "1s", "jitter": 0}}
WORK = {"work": DO, "next": {"capability": "do", "input": "${ tasks.work }"}}


def test_a_task_goes_on_with_an_agent_of_another_capability() -> None:
    run = scenario(WORK)
    run.agents.add("b", "special")
    run.start()
    events = run.when(handoff("work", "special", {"found": 1}))
    assert kinds(events) == ["task-handed-off", "task-assigned"]
    assert isinstance(events[0], TaskHandedOff)
    assert (events[0].capability, events[0].to_capability) == ("do", "special")
    given = assigned(events)["work"]
    assert (given.agent, given.attempt, given.capability) == ("b", 2, "special")
    command = command_of(run.run, run.task("work"), 2)
    assert (command.capability, command.input) == ("special", {"found": 1})
    assert run.done("work", "late") == []
    run.done("work", "done", attempt=2, agent="b")
    assert run.input_of("next") == "done"


def test_whoever_it_was_handed_to_has_all_the_attempts() -> None:
    run = scenario(WORK)
    run.start()
    run.fail("work")
    run.after(1)
    run.when(handoff("work", "other", 7, attempt=2))
    assert kinds(run.fail("work", attempt=3)) == ["task-failed", "retry-scheduled"]
    assert assigned(run.after(1))["work"].capability == "other"
    assert run.input_of("work") == 7


def test_a_task_that_is_handed_to_nobody_is_parked() -> None:
    run = scenario(WORK)
    run.start()
    assert kinds(run.when(handoff("work", "rare"))) == ["task-handed-off", "task-parked"]
    run.agents.add("b", "rare")
    assert assigned(run.join())["work"].agent == "b"


def test_a_task_is_not_handed_on_for_ever() -> None:
    run = scenario(WORK)
    run.start()
    for attempt in range(1, HANDOFFS_MAX + 1):
        assert kinds(run.when(handoff("work", "do", attempt=attempt)))[0] == "task-handed-off"
    events = run.when(handoff("work", "do", attempt=HANDOFFS_MAX + 1))
    assert kinds(events) == ["task-failed", "run-failed"]
    assert isinstance(events[0], TaskFailed)
    assert events[0].error.code == "task.handoff_limit"


def test_a_handoff_while_paused_goes_out_when_the_run_goes_on() -> None:
    run = scenario(WORK)
    run.start()
    run.when(PauseRun(run_id=RUN))
    assert kinds(run.when(handoff("work", "other"))) == ["task-handed-off"]
    assert kinds(run.when(ResumeRun(run_id=RUN))) == ["run-resumed", "task-assigned"]


# --- questions ---------------------------------------------------------------------------------


def test_a_question_is_asked_once_and_answered_as_often_as_it_is_asked() -> None:
    run = scenario(WORK)
    run.agents.add("b", "law")
    run.start()
    asked = question("work", "q1", "law")
    assert kinds(run.when(asked)) == ["question-asked", "task-assigned"]
    assert run.input_of("work-ask-q1") == {"asked": "q1"}
    assert answer_to(run.run, asked) is None
    assert run.when(asked) == []
    assert kinds(run.done("work-ask-q1", "yes", agent="b")) == ["task-completed"]
    for _ in range(2):
        assert run.when(asked) == []
        answer = answer_to(run.run, asked)
        assert answer is not None
        assert (answer.task_id, answer.question, answer.output) == ("work", "q1", "yes")


def test_an_answer_survives_a_retry_of_who_asked() -> None:
    run = scenario(WORK)
    run.start()
    run.when(question("work", "q1"))
    run.fail("work")
    run.done("work-ask-q1", "yes")
    run.after(1)
    again = question("work", "q1", attempt=2)
    assert run.when(again) == []
    answer = answer_to(run.run, again)
    assert answer is not None
    assert answer.output == "yes"


def test_a_question_is_retried_and_its_failure_is_told_and_harms_nobody() -> None:
    run = scenario(WORK)
    run.start()
    asked = question("work", "q1")
    run.when(asked)
    assert kinds(run.fail("work-ask-q1")) == ["task-failed", "retry-scheduled"]
    run.after(2)
    assert kinds(run.fail("work-ask-q1", attempt=2, retryable=False)) == ["task-failed"]
    answer = answer_to(run.run, asked)
    assert answer is not None
    assert answer.error is not None
    assert answer.error.code == "test"
    assert kinds(run.done("work")) == ["task-completed", "task-assigned"]


def test_a_question_that_nobody_answers_in_time_has_failed() -> None:
    run = scenario({"work": {**DO, "timeout": "1h"}})
    run.start()
    asked = question("work", "q1", "rare", timeout=60)
    assert kinds(run.when(asked)) == ["question-asked", "task-parked"]
    for _ in range(10):
        run.after(70)
    answer = answer_to(run.run, asked)
    assert answer is not None
    assert answer.error is not None
    assert answer.error.code == "task.queue_timeout"


def test_a_task_may_not_ask_for_ever() -> None:
    run = scenario(WORK)
    run.start()
    for number in range(QUESTIONS_MAX):
        run.when(question("work", f"q{number}"))
    more = question("work", "more")
    assert run.when(more) == []
    answer = answer_to(run.run, more)
    assert answer is not None
    assert answer.error is not None
    assert answer.error.code == "question.refused"


def test_only_who_has_the_attempt_may_ask() -> None:
    run = scenario(WORK)
    run.start()
    assert run.when(question("work", "q1", agent="b")) == []
    assert run.when(question("work", "q1", attempt=2)) == []
    assert run.when(question("next", "q1")) == []


def test_a_run_that_ends_asks_nothing_more() -> None:
    run = scenario({"work": DO})
    run.start()
    run.cancel()
    asked = question("work", "q1")
    assert run.when(asked) == []
    answer = answer_to(run.run, asked)
    assert answer is not None
    assert answer.error is not None


def test_a_run_does_not_wait_for_questions_that_nobody_waits_for() -> None:
    run = scenario({"work": DO})
    run.start()
    run.when(question("work", "q1"))
    assert kinds(run.done("work")) == ["task-completed", "run-completed"]
    assert run.done("work-ask-q1") == []


def test_a_question_may_be_answered_with_the_help_of_another() -> None:
    run = scenario(WORK)
    run.start()
    run.when(question("work", "q1"))
    assert kinds(run.when(question("work-ask-q1", "q2"))) == ["question-asked", "task-assigned"]
    run.done("work-ask-q1-ask-q2", 1)
    run.done("work-ask-q1", 2)
    assert kinds(run.done("work", 3)) == ["task-completed", "task-assigned"]
