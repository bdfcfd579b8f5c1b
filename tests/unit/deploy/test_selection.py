"""The runs that a command is about, and what a person is asked before many are touched."""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import orjson
import pytest

from dalsegno.__main__ import main
from dalsegno.inputs import agree
from dalsegno.selection import OPEN_STATUSES, STATUSES, Asked, Chosen, find, tell_which
from dalsegno.session import Session
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.errors import UsageError
from dalsegno_bus.ids import new_run_id
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.watching import FINAL_STATUSES
from dalsegno_orchestrator.workflow.run import RunStatus
from dalsegno_projections.questions import RunSummary

SECONDS_MAX = 20.0
SUBJECTS = Subjects(namespace="ds", partitions=2)


def run(workflow: str, status: str, **labels: str) -> dict[str, Any]:
    return {
        **dict.fromkeys(RunSummary.model_fields),
        "run_id": str(new_run_id()),
        "workflow": workflow,
        "workflow_version": 1,
        "plan_version": 1,
        "status": status,
        "started_at": "2026-01-01T00:00:00+00:00",
        "changed_at": "2026-01-01T00:00:00+00:00",
        "started_by": "client:test",
        "version": 3,
        "tasks": {},
        "waiting_for": {},
        "labels": labels,
        "uncompensated": [],
        "uncompensated_total": 0,
        "usd": 0.0,
        "tokens": 0,
    }


def asked(**fields: Any) -> Asked:
    nothing: dict[str, Any] = {
        "reference": None,
        "workflow": None,
        "status": None,
        "labels": {},
        "requested_by": "ada",
        "yes": False,
        "folder": None,
        "as_json": False,
    }
    return Asked(**{**nothing, **fields})


@asynccontextmanager
async def projections(
    folder: Path, runs: list[dict[str, Any]], offsets: list[int] | None = None
) -> AsyncGenerator[Session]:
    """A session whose projections know these runs, and answer two of them at a time.

    `offsets` hears which pages were asked for.
    """
    bus = MemoryBus(MemoryBroker())

    async def work() -> None:
        async with bus.listen(SUBJECTS.query("runs"), queue="q") as questions:
            ready.set()
            async for question in questions:
                wanted = orjson.loads(question.body)
                fitting = [one for one in runs if _fits(one, wanted)]
                offset = wanted["offset"]
                if offsets is not None:
                    offsets.append(offset)
                page = fitting[offset : offset + 2]
                more = offset + 2 < len(fitting)
                answer = {"runs": page, "total": len(fitting), "more": more}
                await question.answer(orjson.dumps(answer))

    ready = asyncio.Event()
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
        working = group.create_task(work())
        await ready.wait()
        yield Session(bus=bus, subjects=SUBJECTS, artifacts=ArtifactStore(str(folder)))
        working.cancel()


def _fits(one: dict[str, Any], wanted: dict[str, Any]) -> bool:
    statuses = wanted["status"]
    stands_so = statuses is None or one["status"] in (
        statuses if isinstance(statuses, list) else [statuses]
    )
    return (
        stands_so
        and wanted["workflow"] in {None, one["workflow"]}
        and wanted["labels"].items() <= one["labels"].items()
    )


async def test_a_selection_is_asked_for_page_by_page(tmp_path: Path) -> None:
    runs = [run("report", "running") for _ in range(5)] + [run("other", "running")]
    offsets: list[int] = []
    async with projections(tmp_path, runs, offsets) as here:
        chosen = await find(here, asked(workflow="report"), ("running",))
    assert offsets == [0, 2, 4]
    assert {str(one.run_id) for one in chosen} == {one["run_id"] for one in runs[:5]}


async def test_without_a_status_those_fit_to_whom_it_can_be_done(tmp_path: Path) -> None:
    runs = [run("report", status) for status in ("running", "paused", "completed", "failed")]
    async with projections(tmp_path, runs) as here:
        cases: list[tuple[Asked, tuple[RunStatus, ...], set[str]]] = [
            (asked(workflow="report"), ("running", "paused"), {"running", "paused"}),
            (asked(workflow="report", status="failed"), ("running",), {"failed"}),
            (asked(workflow="report"), (), {"running", "paused", "completed", "failed"}),
        ]
        for wanted, statuses, found in cases:
            chosen = await find(here, wanted, statuses)
            assert {one.summary.status for one in chosen if one.summary} == found


async def test_every_label_has_to_be_there(tmp_path: Path) -> None:
    runs = [
        run("report", "running", team="blue", region="eu"),
        run("report", "running", team="blue"),
    ]
    async with projections(tmp_path, runs) as here:
        wanted = asked(labels={"team": "blue", "region": "eu"})
        [chosen] = await find(here, wanted, ("running",))
    assert str(chosen.run_id) == runs[0]["run_id"]


def test_a_person_sees_how_many_fit_and_which(capsys: pytest.CaptureFixture[str]) -> None:
    summaries = [
        RunSummary.model_validate(one)
        for one in [run("report", "failed") for _ in range(11)] + [run("other", "failed")]
    ]
    chosen = [Chosen(run_id=new_run_id(), summary=summary) for summary in summaries]
    tell_which(chosen, asked(status="failed", labels={"team": "blue"}))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "12 runs fit (status failed, team=blue):"
    assert said[1:3] == ["  1 of other, failed", "  11 of report, failed"]
    assert said[3].endswith(" and 2 more")


def test_open_runs_are_those_that_have_not_ended() -> None:
    assert set(STATUSES) - set(OPEN_STATUSES) == FINAL_STATUSES


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What a person types next."""

    def type_(words: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(words))

    return type_


def test_a_person_is_asked_and_may_say_no(
    answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer("y\n")
    assert agree("cancel 3 runs?", yes=False)
    assert "cancel 3 runs? [y/N]" in capsys.readouterr().err
    answer("\n")
    assert not agree("cancel 3 runs?", yes=False)
    assert agree("cancel 3 runs?", yes=True)


def test_without_a_person_it_says_which_option_is_missing(answer: Callable[[str], None]) -> None:
    answer("")
    with pytest.raises(UsageError, match="give --yes"):
        agree("cancel 3 runs?", yes=False)


def test_ctrl_c_at_the_question_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.termui.visible_prompt_func", interrupted)
    with pytest.raises(click.Abort):
        agree("cancel 3 runs?", yes=False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("runs cancel", "to say what this is about"),
        ("runs pause 01234567 --workflow report", "not both"),
        ("runs retry --status gone", "'gone' is not one of"),
        ("runs resume --label blue", "--label takes KEY=VALUE"),
        ("runs rewind 01234567", "'--to'"),
        ("runs rewind eightdigits --to a", "is no run"),
        ("runs replan 01234567", "'--file'"),
        ("runs replan 01234567 --file nowhere.yaml", "there is no file 'nowhere.yaml'"),
        ("workflow migrate report", "'--to'"),
        ("agents drain analyst --undo --wait", "give --undo alone"),
    ],
)
def test_a_mistake_is_told_before_anything_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    words: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["dalsegno", *command.split()])
    assert main() == 2
    assert words in capsys.readouterr().err
