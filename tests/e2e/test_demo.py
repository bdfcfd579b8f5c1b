"""The demo, as a user starts it: it ends with a report, and leaves no process behind."""

import json
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from support.commands import Command, Commands, until

pytestmark = pytest.mark.slow


async def finished(command: Command) -> dict[str, Any]:
    """What a demo printed for programs, once it has ended well with nothing left."""
    code, out = await command.ended()
    assert code == 0, command.said
    assert command.descendants == []
    return json.loads(out)


def check_report(shown: dict[str, Any], folder: Path) -> None:
    """The report is there, complete, and says what the run found."""
    assert shown["status"] == "completed"
    assert shown["rows"] >= 50_000
    report = shown["report"]
    files = [folder / name for name in report["files"]]
    assert [file.suffix for file in files] == [".html", ".pdf", ".xlsx"]
    page, pdf, appendix = (file.read_bytes() for file in files)
    assert b"</html>" in page
    assert report["figures"][0]["label"].encode() in page
    assert b"<script src" not in page, "self-contained"
    assert b"<link" not in page, "self-contained"
    assert pdf.startswith(b"%PDF-")
    assert appendix.startswith(b"PK")
    assert report["headline"]
    assert report["findings"]
    assert report["approved_by"] == "the demo"


async def test_two_demos_at_once_end_with_a_report_each(commands: Commands) -> None:
    first = await commands.start("demo", "--json")
    second = await commands.start("demo", "--json", "--seed", "11")
    one, other = await finished(first), await finished(second)
    check_report(one, commands.folder)
    check_report(other, commands.folder)
    assert one["run_id"] != other["run_id"]
    assert one["folder"] != other["folder"]
    assert one["report"]["headline"] != other["report"]["headline"]
    assert any("the demo approves it itself" in line for line in first.said)
    await look_further(commands, one)


async def look_further(commands: Commands, shown: dict[str, Any]) -> None:
    """What the demo says to type in the end works, though nothing runs any more."""
    run_id, where = shown["run_id"][:13], ("--folder", shown["folder"])
    code, out, _ = await commands.run("runs", "show", run_id, *where)
    assert code == 0
    assert "financial-report" in out
    code, out, _ = await commands.run("history", run_id, *where, "--json")
    assert code == 0
    assert len(json.loads(out)) == shown["events"]
    code, out, _ = await commands.run("trace", run_id, *where)
    assert code == 0
    assert "gather-0" in out


@pytest.mark.parametrize("moment", ["starting NATS", "starting 7 services", "of financial-report"])
async def test_ctrl_c_at_any_moment_leaves_nothing(commands: Commands, moment: str) -> None:
    command = await commands.start("demo")
    await command.says(moment)
    command.process.send_signal(signal.SIGINT)
    code, _ = await command.ended()
    assert code == 130, command.said
    assert command.descendants == []
    assert not any("Traceback" in line for line in command.said), command.said


async def test_a_demo_that_is_killed_takes_its_processes_along(commands: Commands) -> None:
    command = await commands.start("demo")
    await command.says("is here")
    left = command.descendants
    assert len(left) >= 7
    command.process.kill()
    await command.process.wait()
    await until(lambda: not command.descendants)


async def test_the_approval_can_be_left_to_a_person(commands: Commands) -> None:
    command = await commands.start("demo", "--manual", "--json", "--folder", "mine")
    await command.says("Type in another terminal")
    typed = await command.says("runs signal")
    words = shlex.split(typed)
    code, _, said = await commands.run(*words[words.index("dalsegno") + 1 :])
    assert code == 0, said
    assert (await finished(command))["report"]["approved_by"] == "me"
