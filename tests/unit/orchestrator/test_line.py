"""Who of the parked goes next."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus.ids import RunId, TaskId, run_id_of_key
from dalsegno_bus.messages import Json
from dalsegno_orchestrator.limits.line import Line
from dalsegno_orchestrator.workflow.events import RunPaused, TaskAssigned, TaskParked
from dalsegno_orchestrator.workflow.plan import Plan
from dalsegno_orchestrator.workflow.run import Run, Task
from support.scenario import plan_of

if TYPE_CHECKING:
    from _collections_abc import dict_values

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ONE = plan_of({"one": {"capability": "do"}})
LEVELS = plan_of({f"p{level}": {"capability": "do", "priority": level} for level in range(10)})
FAIR = plan_of({"one": {"capability": "do"}}, fair_by="${ input.tenant }")
QUOTA = plan_of({"one": {"capability": "do", "quota": {"tokens": 1}}})


def run_of(plan: Plan, name: str, value: Json = None) -> Run:
    return Run(
        id=run_id_of_key("ds", "test", name),
        plan=plan,
        follows=plan.digest,
        started_at=BEGIN,
        input=value,
    )


def parked(
    name: str,
    *,
    plan: Plan = ONE,
    step: str = "one",
    after: float = 0.0,
    value: Json = None,
    waits_for: str = "",
    **more: Any,
) -> Run:
    """A run with one parked task."""
    run = run_of(plan, name, value)
    park(run, step, after=after, waits_for=waits_for, **more)
    return run


def park(run: Run, step: str, *, after: float = 0.0, waits_for: str = "", **more: Any) -> None:
    task = Task(
        id=TaskId(step),
        step=run.plan.steps[step],
        status="parked",
        capability=run.plan.steps[step].task.capability,
        changed_at=BEGIN + timedelta(seconds=after),
        waits_for=waits_for,
        **more,
    )
    run.tasks[task.id] = run.parked[task.id] = task


class Room:
    """A line, and who comes out of it when something has room."""

    def __init__(self, *runs: Run) -> None:
        self.line = Line()
        self.runs: dict[RunId, Run] = {}
        for run in runs:
            self.add(run)
        while self.line.next() is not None:  # the core found no room for any of them
            self.line.tried(self._first())

    def add(self, run: Run) -> None:
        self.runs[run.id] = run
        self.line.admit(run)

    def _first(self) -> Task:
        named = self.line.next()
        assert named is not None
        return self.runs[named[0]].parked[named[1]]

    def serve(self, count: int) -> list[tuple[Run, TaskId]]:
        """There is room for so many."""
        served: list[tuple[Run, TaskId]] = []
        while (named := self.line.next()) is not None:
            run_id, task_id = named
            run = self.runs[run_id]
            if len(served) == count:
                self.line.tried(run.parked[task_id])
                continue
            task = run.parked.pop(task_id)
            self.line.note(run, [assigned(task)])
            self.line.tried(None)
            served.append((run, task_id))
        return served


def assigned(task: Task) -> TaskAssigned:
    return TaskAssigned(task_id=task.id, attempt=1, agent="a", capability="do")


def test_whoever_was_parked_first_goes_first() -> None:
    runs = [parked(f"r{number}", after=10.0 - number) for number in range(4)]
    room = Room(*runs)
    room.line.wake_agents(["do"])
    assert [run.id for run, _ in room.serve(4)] == [run.id for run in reversed(runs)]
    assert len(room.line) == 0


def test_so_many_go_as_there_is_room_for_and_the_rest_stays() -> None:
    room = Room(*(parked(f"r{number}") for number in range(5)))
    room.line.wake_agents(["do"])
    assert len(room.serve(2)) == 2
    assert len(room.line) == 3
    assert room.serve(2) == []
    room.line.wake_agents(["other"])
    assert room.serve(2) == []
    room.line.wake_agents()
    assert len(room.serve(9)) == 3


def test_a_higher_priority_goes_first() -> None:
    run = run_of(LEVELS, "one")
    for level in range(10):
        park(run, f"p{level}")
    room = Room(run)
    room.line.wake_agents(["do"])
    assert [task_id for _, task_id in room.serve(10)] == [f"p{level}" for level in range(9, -1, -1)]


def test_a_low_priority_that_waits_long_enough_passes_a_high_one_that_just_came() -> None:
    run = run_of(LEVELS, "one")
    park(run, "p0", after=0.0)
    for name, after in (("p9", 269.0), ("p5", 151.0)):
        park(run, name, after=after)
    room = Room(run)
    room.line.wake_agents(["do"])
    assert [task_id for _, task_id in room.serve(3)] == ["p9", "p0", "p5"]


def test_tenants_take_turns_however_many_tasks_one_of_them_has() -> None:
    many = [parked(f"a{number}", plan=FAIR, value={"tenant": "a"}) for number in range(20)]
    few = [parked(f"b{n}", plan=FAIR, after=60.0, value={"tenant": "b"}) for n in range(3)]
    room = Room(*many, *few)
    room.line.wake_agents(["do"])
    served = [run.input for run, _ in room.serve(6)]
    assert [served.count({"tenant": name}) for name in "ab"] == [3, 3]


def test_a_tenant_that_comes_late_has_no_claim_on_turns_it_did_not_wait_for() -> None:
    room = Room(*(parked(f"a{n}", plan=FAIR, value={"tenant": "a"}) for n in range(10)))
    room.line.wake_agents(["do"])
    room.serve(5)
    for number in range(5):
        room.add(parked(f"b{number}", plan=FAIR, value={"tenant": "b"}))
    room.line.wake_agents(["do"])
    served = [run.input for run, _ in room.serve(6)]
    assert [served.count({"tenant": name}) for name in "ab"] == [3, 3]


def test_a_task_that_needs_other_labels_does_not_hold_up_the_others() -> None:
    gpu = plan_of({"one": {"capability": "do", "requires": {"gpu": "yes"}}})
    first, second = parked("first", plan=gpu), parked("second", after=1.0)
    room = Room(first, second)
    room.line.wake_agents(["do"])
    named = room.line.next()
    assert named == (first.id, "one")
    room.line.tried(first.parked[TaskId("one")])
    assert [run for run, _ in room.serve(1)] == [second]


def test_one_limit_that_has_room_looks_only_at_who_waits_for_it() -> None:
    waiting = parked("a", plan=QUOTA, waits_for="quota:tokens")
    room = Room(waiting, parked("b"))
    assert room.line.limits() == ["quota:tokens"]
    assert room.line.is_waited_for("quota:tokens")
    assert room.line.capabilities() == ["do"]
    room.line.wake("quota:tokens")
    assert [run for run, _ in room.serve(9)] == [waiting]
    assert not room.line.is_waited_for("quota:tokens")


def test_the_first_that_lacks_something_else_waits_for_that_with_all_behind_it() -> None:
    runs = [parked(f"r{n}", plan=QUOTA, waits_for="quota:tokens") for n in range(3)]
    room = Room(*runs)
    room.line.wake("quota:tokens")
    named = room.line.next()
    assert named is not None
    task = room.runs[named[0]].parked[named[1]]
    task.waits_for = ""  # no agent, now
    room.line.note(room.runs[named[0]], [TaskParked(task_id="one", capability="do", reason="x")])
    room.line.tried(task)
    assert not room.line.is_waited_for("quota:tokens")
    room.line.wake("quota:tokens")
    assert room.serve(9) == []
    room.line.wake_agents(["do"])
    assert len(room.serve(9)) == 3


def test_one_that_can_never_have_enough_stands_aside_until_the_limit_is_changed() -> None:
    large, small = (parked(n, plan=QUOTA, waits_for="quota:tokens") for n in ("large", "small"))
    room = Room(large, small)
    room.line.wake("quota:tokens")
    assert room.line.next() == (large.id, "one")
    room.line.tried(large.parked[TaskId("one")], never="quota:tokens")
    assert [run for run, _ in room.serve(9)] == [small]
    room.line.wake("quota:tokens")
    assert room.line.next() is None
    assert room.line.limits() == ["quota:tokens"]
    room.line.reconsider("quota:tokens")
    assert [run for run, _ in room.serve(9)] == [large]
    assert (len(room.line), room.line.limits()) == (0, [])


def test_one_that_stands_aside_may_leave() -> None:
    large = parked("large", plan=QUOTA, waits_for="quota:tokens")
    room = Room(large)
    room.line.wake("quota:tokens")
    room.line.next()
    room.line.tried(large.parked[TaskId("one")], never="quota:tokens")
    room.line.drop(large.id)
    room.line.reconsider("quota:tokens")
    assert (len(room.line), room.line.limits(), room.line.next()) == (0, [], None)


def test_a_paused_run_leaves_the_line_and_comes_back_where_it_stood() -> None:
    first, second = parked("first"), parked("second", after=1.0)
    room = Room(first, second)
    first.status = "paused"
    room.line.note(first, [RunPaused()])
    room.line.wake_agents(["do"])
    assert [run for run, _ in room.serve(9)] == [second]
    third = parked("third", after=2.0)
    room.add(third)
    first.status = "running"
    room.line.admit(first)
    room.line.wake_agents(["do"])
    assert [run for run, _ in room.serve(9)] == [first, third]


def test_a_run_that_is_about_to_fail_does_not_hold_up_the_others() -> None:
    failing, other = parked("first"), parked("second", after=1.0)
    room = Room(failing, other)
    failing.status = "failing"
    room.line.note(failing, [])
    room.line.wake_agents(["do"])
    assert [run for run, _ in room.serve(9)] == [other]


def test_a_run_that_is_dropped_is_not_named_any_more() -> None:
    runs = [parked(f"r{number}") for number in range(200)]
    room = Room(*runs)
    for run in runs[:-1]:
        room.line.drop(run.id)
    room.line.wake_agents(["do"])
    assert [run for run, _ in room.serve(9)] == [runs[-1]]
    room.line.drop(runs[0].id)


def test_the_same_task_parked_again_stands_where_it_stood() -> None:
    first, second = parked("first"), parked("second", after=1.0)
    room = Room(first, second)
    room.line.note(first, [TaskParked(task_id="one", capability="do", reason="still")])
    assert len(room.line) == 2
    room.line.wake_agents(["do"])
    assert [run for run, _ in room.serve(1)] == [first]


CODES = {
    "fair": FAIR,
    "gpu": plan_of({"one": {"capability": "do", "requires": {"gpu": "yes"}}}),
    "quota": QUOTA,
}


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(sorted(CODES)), st.sampled_from("abc"), st.integers(0, 99)),
            st.integers(1, 5),  # so many go
            st.sampled_from(["drop"]),  # the oldest that is there
        ),
        max_size=60,
    )
)
def test_whatever_comes_and_goes_everybody_goes_once_and_those_that_left_never(
    steps: list[tuple[str, str, int] | int | str],
) -> None:
    room = Room()
    standing: dict[RunId, None] = {}
    served: list[RunId] = []

    def serve(count: int) -> None:
        room.line.wake_all()
        went = [run.id for run, _ in room.serve(count)]
        assert len(went) == min(count, len(standing))
        for run_id in went:
            del standing[run_id]
        served.extend(went)

    for number, step in enumerate(steps):
        match step:
            case int():
                serve(step)
            case str():
                if standing:
                    oldest = next(iter(standing))
                    room.line.drop(oldest)
                    del standing[oldest]
            case (code, tenant, after):
                run = parked(f"r{number}", plan=CODES[code], after=after, value={"tenant": tenant})
                room.add(run)
                standing[run.id] = None
    serve(len(standing))
    assert len(served) == len(set(served))
    assert (len(room.line), room.line.limits(), room.line.capabilities()) == (0, [], [])


class Watched(dict[TaskId, Task]):
    """Parked tasks that count how often somebody looks at one, or goes through all."""

    looks = 0

    def __contains__(self, key: object) -> bool:
        self.looks += 1
        return super().__contains__(key)

    def __iter__(self) -> Iterator[TaskId]:
        self.looks += len(self)
        return super().__iter__()

    def values(self) -> "dict_values[TaskId, Task]":
        self.looks += len(self)
        return super().values()


@pytest.mark.slow
def test_a_hundred_thousand_parked_tasks_are_not_looked_at_for_each_that_goes() -> None:
    run = run_of(FAIR, "large", {"tenant": "a"})
    run.parked = Watched()
    step = run.plan.steps["one"]
    for number in range(100_000):
        task_id = TaskId(f"one-{number}")
        run.parked[task_id] = Task(
            id=task_id, step=step, status="parked", capability="do", changed_at=BEGIN
        )
    line = Line()
    line.admit(run)
    run.parked.looks = 0
    for _ in range(1_000):
        line.wake_agents(["do"])
        named = line.next()
        assert named is not None
        task = run.parked.pop(named[1])
        line.note(run, [assigned(task)])
        line.tried(None)
        named = line.next()
        assert named is not None
        line.tried(run.parked[named[1]])
    assert len(line) == 99_000
    assert run.parked.looks == 1_000
    line.drop(run.id)
    assert (len(line), line.next()) == (0, None)
