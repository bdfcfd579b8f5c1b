"""What a person sees of a mistake: one sentence that says what to do, and exit code 2."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

pytestmark = pytest.mark.slow

Typed: TypeAlias = Callable[..., tuple[int, str, list[str]]]
"""A command typed in an empty folder: exit code, stdout, lines of stderr."""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that somebody holds, and on which nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def one_sentence(typed: Typed) -> Callable[..., str]:
    """The one line that a command says, which must end with 2."""

    def sentence(*arguments: str) -> str:
        code, out, said = typed(*arguments)
        assert (code, out) == (2, ""), said
        [line] = said
        return line.removeprefix("dalsegno: ")

    return sentence


@pytest.mark.parametrize(
    "command", ["runs list", "run hello", "agents list", "dead list", "runs cancel 01234567"]
)
def test_no_nats(
    one_sentence: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    silent_port: int,
    command: str,
) -> None:
    url = f"nats://127.0.0.1:{silent_port}"
    monkeypatch.setenv("DALSEGNO_NATS_URL", url)
    line = one_sentence(*command.split())
    assert f"no NATS server answers at {url}" in line
    assert "dalsegno up" in line


def test_a_missing_file(one_sentence: Callable[..., str]) -> None:
    assert one_sentence("run", "flow.yaml") == "there is no file 'flow.yaml'"
    assert one_sentence("workflow", "check", "flow.yaml") == "there is no file 'flow.yaml'"
    line = one_sentence("run", "financial-report", "--input", "@mine.json")
    assert "cannot read 'mine.json'" in line


def test_a_file_that_is_no_text(one_sentence: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_bytes(b"workflow: \xff\xfe")
    assert "not UTF-8" in one_sentence("run", "flow.yaml")


def test_an_input_that_is_not_json(one_sentence: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"company": "Ada",\n "period" "2025-Q4"}')
    line = one_sentence("run", "financial-report", "--input", "@mine.json")
    assert line.startswith("mine.json is not JSON")
    assert "line 2, column" in line
    assert "begins with @" in one_sentence("run", "financial-report", "--input", "mine.json")


def test_a_workflow_file_with_faults_lists_all_of_them(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(
        "workflow: flow\n"
        "tasks:\n"
        "  a: {capability: x, timeout: soon}\n"
        "  b: {capability: y, input: '${ tasks.aa }'}\n"
    )
    code, out, said = typed("workflow", "check", "flow.yaml")
    assert code == 1
    assert [line.split(":")[:2] for line in out.splitlines()] == [
        ["flow.yaml", "3"],
        ["flow.yaml", "4"],
    ]
    assert said == ["flow.yaml: 2 problems"]
    code, out, said = typed("run", "flow.yaml")
    assert (code, out) == (2, "")
    assert said[0] == "dalsegno: flow.yaml has 2 problems:"
    assert len(said) == 3


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("runs show 123", "dalsegno runs list"),
        ("runs show eightdigits", "is no run"),
        ("history 01234567 --at 3 --folder nowhere", "dalsegno up --folder nowhere"),
        ("runs list --folder nowhere", "dalsegno up --folder nowhere"),
        ("run hello --label blue", "--label takes KEY=VALUE"),
        ("run hello --wait --timeout soon", "--timeout: 'soon' is not a duration"),
        ("agent plainly", "MODULE:AGENT"),
        ("agent nowhere:agent", "no module 'nowhere'"),
        ("agent dalsegno.bench.agents:nobody", "has no 'nobody'"),
    ],
)
def test_a_word_that_means_nothing(typed: Typed, command: str, words: str) -> None:
    code, out, said = typed(*command.split())
    assert (code, out) == (2, "")
    assert len(said) == 1
    assert words in said[0]


def test_a_setting_that_does_not_fit(
    one_sentence: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALSEGNO_PARTITIONS", "none")
    assert "DALSEGNO_PARTITIONS" in one_sentence("runs", "list")
    assert "DALSEGNO_PARTITIONS" in one_sentence("up")


def test_a_damaged_settings_file(one_sentence: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "dalsegno.toml").write_text("namespace = ds")
    assert "dalsegno.toml" in one_sentence("runs", "list")


def test_a_folder_that_cannot_be_written(one_sentence: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = one_sentence("up", "--folder", str(tmp_path / "file" / "below"))
    assert "cannot write to the folder" in line
