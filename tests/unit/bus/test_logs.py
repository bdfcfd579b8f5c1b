"""What a log line looks like."""

import logging
from collections.abc import Iterator
from uuid import UUID

import orjson
import pytest

from dalsegno_bus.logs import log, setup_logging

logger = logging.getLogger("dalsegno.test")
RUN_ID = UUID("01890000-0000-7000-8000-000000000000")


@pytest.fixture(autouse=True)
def keep_root() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()  # or setting up would close pytest's own
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_for_machines_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("json", "INFO", "agent-analyst")
    log(logger, "warning", "task.retried", run_id=RUN_ID, attempt=2, level="deep")
    line = orjson.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "service": "agent-analyst",
        "logger": "dalsegno.test",
        "event": "task.retried",
        "run_id": str(RUN_ID),
        "attempt": 2,
        "level_": "deep",
    }


def test_a_line_for_people_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("text", "INFO", "cli")
    log(logger, "info", "task.done", run_id=RUN_ID, reason="all is well", empty="")
    line = capsys.readouterr().err
    assert line.endswith(f"info    cli task.done run_id={RUN_ID} reason='all is well' empty=''\n")


def test_what_is_no_terminal_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("auto", "INFO", "cli")
    log(logger, "info", "x")
    assert orjson.loads(capsys.readouterr().err)["event"] == "x"


def test_what_is_below_the_level_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("json", "ERROR", "cli")
    log(logger, "warning", "x")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_lines_of_libraries_and_tracebacks_fit_in(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    setup_logging(log_format, "INFO", "cli")
    try:
        raise ValueError("the reason")  # noqa: TRY301  # to have a traceback
    except ValueError:
        logging.getLogger("library").exception("failed after %d tries", 3)
    shown = capsys.readouterr().err
    assert "failed after 3 tries" in shown
    assert "ValueError: the reason" in shown
    assert log_format == "text" or shown.count("\n") == 1


def test_a_value_that_is_no_json_is_shown_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("json", "INFO", "cli")
    log(logger, "info", "x", what={1: {RUN_ID}}, error=ValueError("y"))
    line = orjson.loads(capsys.readouterr().err)
    assert line["what"] == {"1": str({RUN_ID})}
    assert line["error"] == "y"


def test_both_kinds_of_lines_have_the_same_fields(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {"run_id": RUN_ID, "task_id": "sum", "attempt": 2, "reason": "gone"}
    lines: list[str] = []
    for log_format in ("json", "text"):
        setup_logging(log_format, "INFO", "orchestrator")
        log(logger, "error", "task.lost", **fields)
        lines.append(capsys.readouterr().err)
    as_json = orjson.loads(lines[0])
    _, level, service, event, *rest = lines[1].split()
    assert [as_json[name] for name in ("level", "service", "event")] == [level, service, event]
    assert rest == [f"{name}={as_json[name]}" for name in fields]


def test_a_terminal_is_not_steered_and_a_line_stays_one(capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("text", "INFO", "cli")
    log(logger, "info", "x", reason="\x1b[2Jgone")
    logging.getLogger("library").info("one\ntwo\x1b[2J, größer")
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert shown.count("\n") == 2
    assert "größer" in shown


def test_a_terminal_gets_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    setup_logging("auto", "INFO", "cli")
    log(logger, "info", "x")
    assert capsys.readouterr().err.endswith("info    cli x\n")
