"""Limits: what people type for them, and what they see."""

from typing import Any

import pytest
from rich.console import Console, RenderableType

from dalsegno.commands.limits import check_limit, read_rate
from dalsegno.limits import (
    Standing,
    Waiting,
    holders_table,
    in_words,
    limits_table,
    standing_lines,
    waiting_in,
    waiting_table,
)
from dalsegno_bus.errors import UsageError
from dalsegno_projections.questions import (
    LimitHolder,
    LimitSummary,
    LimitUse,
    LimitWaiters,
    TaskSummary,
)

RUN = "01a20746-af62-7c76-934d-a7c115480a34"
AT = "2026-01-01T12:00:00+00:00"


def limit(name: str, concurrency: float | None = None, rate: float | None = None) -> LimitSummary:
    return LimitSummary(
        limit=name, concurrency=concurrency, rate=rate, rate_seconds=60.0, set_at=AT,
        set_by="client:ada",
    )  # fmt: skip


def waits(name: str, tasks: int) -> LimitWaiters:
    return LimitWaiters(limit=name, tasks=tasks, runs=[], runs_total=1)


def parked(task_id: str, reason: str, waits_for: str | None) -> TaskSummary:
    nothing: dict[str, Any] = {
        name: 0 if repr(field.annotation) in {repr(int), repr(float)} else None
        for name, field in TaskSummary.model_fields.items()
        if field.is_required()
    }
    given = {"task_id": task_id, "step": task_id, "status": "parked", "waits_for": waits_for}
    times: dict[str, Any] = {"began_at": AT, "changed_at": AT, "candidates": []}
    return TaskSummary.model_validate({**nothing, **given, **times, "parked_reason": reason})


def printed(*shown: RenderableType) -> list[str]:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        for one in shown:
            console.print(one)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_rate_is_a_number_and_a_time() -> None:
    assert read_rate("100/m") == (100.0, 60.0)
    assert read_rate("5/s") == (5.0, 1.0)
    assert read_rate(None) == (None, 60.0)
    for wrong in ("100", "0/m", "fast", "5/w"):
        with pytest.raises(UsageError, match=r"--rate: .*100/m"):
            read_rate(wrong)


def test_a_limit_is_of_a_capability_or_a_quota() -> None:
    check_limit("capability:finance.analyze")
    check_limit("quota:openai-tpm")
    for wrong in ("finance.analyze", "capability:", "tokens:x", "quota"):
        with pytest.raises(UsageError, match="write capability:NAME or quota:NAME"):
            check_limit(wrong)
    with pytest.raises(UsageError, match="stand in its definition"):
        check_limit("workflow:report")


def test_what_a_limit_allows_is_said_as_it_is_typed() -> None:
    assert in_words(5.0, 100.0, 60.0) == "5 at the same time, 100/m"
    assert in_words(None, 3.0, 3_600.0) == "3/h"
    assert in_words(0.5, None, 60.0) == "0.5 at the same time"
    assert in_words(None, 10.0, 30.0) == "10 in 30 s"
    assert in_words(None, None, 60.0) == "no limit"


def test_a_list_shows_those_that_are_set_and_those_that_are_waited_for() -> None:
    found = [limit("capability:finance.analyze", 5.0, 100.0), limit("quota:tpm", rate=90_000.0)]
    waiting = [waits("quota:tpm", 3), waits("quota:gpu", 2), waits("workflow:report", 1)]
    lines = printed(limits_table(found, waiting))
    assert lines[1].split()[:3] == ["capability:finance.analyze", "5", "100/m"]
    assert lines[2].split()[:4] == ["quota:tpm", "-", "90000/m", "3"]
    assert "quota:gpu" in lines[3]
    assert lines[3].endswith("is not set")
    assert lines[4].endswith("declared by the workflow")


def test_one_limit_shows_who_holds_it_and_who_waits_since_when() -> None:
    holder = LimitHolder(run_id=RUN, task_id="analyze", attempt=2, amount=1.0, taken_at=AT)
    waiting = Waiting(
        run_id=RUN, workflow="report", task_id="report", reason="it is used up", since=AT
    )
    one = Standing(
        limit="quota:tpm",
        setting=limit("quota:tpm", 1.0, 50.0),
        use=LimitUse(limit="quota:tpm", amount=1.0, begun=4.0, holders=[holder], more=False),
        waiting=[waiting],
        runs_waiting=1,
    )
    lines = printed(*standing_lines(one), holders_table(one), waiting_table(one))
    assert lines[1] == "allows   1 at the same time, 50/m"
    assert lines[3] == "taken    1 by 1 attempt; 4 begun within 60 s"
    assert lines[6].split() == ["01a20746-af62", "analyze", "2", "1", "2026-01-01", "12:00:00"]
    assert lines[8].split()[:2] == ["01a20746-af62", "report"]
    assert lines[8].endswith("it is used up")
    assert one.as_json()["holders"][0]["task_id"] == "analyze"
    assert one.as_json()["waiting"][0]["since"] == AT


def test_those_that_wait_for_a_limit_are_told_from_those_that_wait_for_others() -> None:
    tasks = [
        parked("a", "quota:tpm is used up: 5 of 5 taken", "quota:tpm"),
        parked("b", "quota:tpm-big is used up: 5 of 5 taken", "quota:tpm-big"),
        parked("c", "no agent has it", None),
        parked("d", "no agent has it; it would take of quota:tpm too", None),
        parked("e", "others came before", "quota:tpm"),
    ]
    found = waiting_in(RUN, "report", tasks, "quota:tpm")
    assert [(one.task_id, one.reason) for one in found] == [
        ("a", "quota:tpm is used up: 5 of 5 taken"),
        ("e", "others came before"),
    ]
