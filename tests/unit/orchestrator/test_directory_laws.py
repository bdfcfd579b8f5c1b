"""The directory counts what is open, no more and no less, whatever happens to a run."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dalsegno_bus.bus import Entry
from dalsegno_bus.codec import encode
from dalsegno_bus.messages import (
    AgentCard,
    CancelRun,
    CapabilityCard,
    HandoffReport,
    PauseRun,
    Presence,
    ResumeRun,
    RetryRun,
    RewindRun,
    StartRun,
)
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.workflow.decider import RunMessage, decide, start
from dalsegno_orchestrator.workflow.events import RunEvent, TaskAssigned
from dalsegno_orchestrator.workflow.facts import AgentsChanged, Facts, TimeReached
from dalsegno_orchestrator.workflow.run import Run
from dalsegno_orchestrator.workflow.turn import Refused
from support.scenario import BEGIN, RUN, completed, failed, plan_of

AGENTS = ("a", "b", "c")
NAMES = ("p", "q", "r", "s")
UNDO = {"capability": "undo", "retry": {"max_attempts": 2, "delay": "1s"}}


@st.composite
def workflows(draw: st.DrawFn) -> dict[str, Any]:
    """Tasks with whatever may begin, double or give up an attempt."""
    tasks: dict[str, Any] = {}
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        task: dict[str, Any] = {
            "capability": "do",
            "retry": {"max_attempts": draw(st.integers(1, 3)), "delay": "1s", "never": ["never"]},
            "on_error": draw(st.sampled_from(["fail", "fail", "continue"])),
            "timeout": "30s",
        }
        kind = draw(st.sampled_from(["plain", "each", "repeat", "dynamic", "plain"]))
        if kind == "each":
            task["foreach"] = [1, 2, 3]
        elif kind == "repeat":
            task["repeat"] = {"until": "${ iteration == 1 }"}
        elif kind == "dynamic":
            task["dynamic"] = {"max_tasks": 3}
        if kind == "plain" and draw(st.booleans()):
            task["compensate"] = UNDO
        if draw(st.booleans()):
            task["hedge_after"] = "5s"
        if draw(st.booleans()):
            task["heartbeat_timeout"] = "10s"
        if draw(st.booleans()):
            task["reroute"] = ["other_agent", {"wait": "3s"}]
        if tasks and draw(st.booleans()):
            task["after"] = [draw(st.sampled_from(sorted(tasks)))]
        tasks[name] = task
    return tasks


KINDS = (
    "done", "done", "done", "plan", "fail", "fail", "reject", "never", "hand", "time", "time",
    "join", "lose", "cancel", "pause", "resume", "retry", "rewind", "load", "recount", "drain",
)  # fmt: skip
scripts = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 40)), max_size=60)
PLAN = {"tasks": {"extra": {"capability": "do", "hedge_after": "5s"}}}


def card(agent: str) -> Entry:
    listed = tuple(CapabilityCard(name=name) for name in ("do", "undo", "other"))
    return Entry(f"card.{agent}", encode(AgentCard(agent=agent, capabilities=listed)), 1)


def live(agent: str) -> Entry:
    presence = Presence(agent=agent, replica="r", started_at=BEGIN, concurrency=2)
    return Entry(f"live.{agent}.r", encode(presence), 1)


class Story:
    """One run beside the directory that hears of it."""

    def __init__(self, tasks: dict[str, Any]) -> None:
        self.now: datetime = BEGIN
        self.directory = Directory()
        for agent in AGENTS:
            self.directory.hear(card(agent), BEGIN)
            self.directory.hear(live(agent), BEGIN)
        self.known: list[TaskAssigned] = []
        message = StartRun(run_id=RUN, workflow="test", input=None)
        self.run, events = start(plan_of(tasks), message, self.facts())
        self.heard(events)

    def facts(self) -> Facts:
        return Facts(now=self.now, chance=0.5, message_id="m", agents=self.directory)

    def heard(self, events: Sequence[RunEvent]) -> None:
        self.directory.observe(events, self.now)
        self.known += [event for event in events if isinstance(event, TaskAssigned)]

    def move(self, what: str, number: int) -> None:
        self.now += timedelta(seconds=number / 4)
        match what:
            case "load":
                self.directory.dismiss(self.run)
                self.directory.admit(self.run)
            case "recount":
                self.directory.recount([self.run])
            case _:
                message = self.message(what, number)
                if message is not None:
                    with contextlib.suppress(Refused):
                        self.heard(decide(self.run, message, self.facts()))

    def message(self, what: str, number: int) -> RunMessage | None:
        match what:
            case "time":
                return TimeReached()
            case "join" | "lose" | "drain":
                gone = frozenset({AGENTS[number % 3]}) if what != "join" else frozenset[str]()
                return AgentsChanged(gone=gone)
            case "cancel" if number % 4 == 0:
                return CancelRun(run_id=RUN)
            case "pause":
                return PauseRun(run_id=RUN)
            case "resume":
                return ResumeRun(run_id=RUN)
            case "retry":
                return RetryRun(run_id=RUN)
            case "rewind":
                return RewindRun(run_id=RUN, task_id=NAMES[number % len(NAMES)])
            case _:
                return self.report(what, number) if self.known else None

    def report(self, what: str, number: int) -> RunMessage:
        about = self.known[-1 - number % min(6, len(self.known))]
        task, attempt, agent = about.task_id, about.attempt, about.agent
        match what:
            case "plan":
                return completed(task, PLAN, attempt=attempt, agent=agent)
            case "fail":
                return failed(task, attempt=attempt, agent=agent)
            case "reject":
                return failed(task, attempt=attempt, agent=agent, retryable=False)
            case "never":
                return failed(task, attempt=attempt, agent=agent, code="never")
            case "hand":
                return HandoffReport(
                    run_id=RUN,
                    task_id=task,
                    attempt=attempt,
                    agent=agent,
                    replica="r",
                    capability="other",
                )
            case _:
                return completed(task, number, attempt=attempt, agent=agent)


def open_of(run: Run) -> Counter[str]:
    """By agent, the attempts of a run that are under way."""
    return Counter(agent for task in run.assigned.values() for _, agent in task.open_attempts())


HEDGED = {"p": {"capability": "do", "hedge_after": "5s", "retry": {"never": ["never"]}}}


@given(workflows(), scripts)
@example(HEDGED, [("time", 20), ("never", 0)])
@example(HEDGED, [("time", 20), ("cancel", 0), ("fail", 0)])
@settings(deadline=None, max_examples=200)
def test_what_the_directory_counts_as_open_is_what_the_run_has_open(
    tasks: dict[str, Any], script: list[tuple[str, int]]
) -> None:
    story = Story(tasks)
    for what, number in script:
        story.move(what, number)
        counted = {view.name: view.open_attempts for view in story.directory.capable("do")}
        under_way = open_of(story.run)
        assert counted == {agent: under_way[agent] for agent in AGENTS}, what
