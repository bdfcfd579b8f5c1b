"""The command line as a whole: what it loads, how it ends, what it says of a mistake."""

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest

from dalsegno.__main__ import COMMANDS, command_line, main
from dalsegno_bus.errors import SettingsError, Unavailable

HEAVY = ("pydantic", "nats", "rich", "dalsegno_orchestrator", "dalsegno_projections", "polars")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["dalsegno", *arguments])
    return main()


def test_help_loads_nothing_that_a_command_needs() -> None:
    script = (
        "import sys; sys.argv[1:] = ['--help']; from dalsegno.__main__ import main; main();"
        f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_shows_examples(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"dalsegno {name}" in shown.partition("Usage:")[2].partition("\n")[2], "no example"


def below(name: str, command: click.Command) -> Iterator[tuple[str, ...]]:
    yield (name,)
    if isinstance(command, click.Group):
        for word, one in command.commands.items():
            for words in below(word, one):
                yield (name, *words)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_example_of_each_command_stands_on_a_line_that_fits(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in below(name, COMMANDS[name].load()):
        assert run(monkeypatch, *words, "--help") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if len(line) > 80] == [], words
        if len(words) == 1 or name != "bench":  # its commands share the group's examples
            examples = [line for line in lines if line.startswith(f"    dalsegno {words[0]}")]
            assert examples, words


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_help_fits_a_terminal(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, name, "--help")
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_a_misspelt_command_is_named_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "worklow") == 2
    assert "did you mean 'workflow'?" in capsys.readouterr().err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command
    def fail() -> None:
        raise error

    monkeypatch.setattr("dalsegno.__main__.command_line", lambda: fail)
    monkeypatch.setattr(sys, "argv", ["dalsegno"])


def test_an_error_of_ours_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, SettingsError("DALSEGNO_PARTITIONS: choose 1 to 1024"))
    assert main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "dalsegno: DALSEGNO_PARTITIONS: choose 1 to 1024\n"


def test_an_error_of_ours_is_found_in_the_groups_that_task_groups_raise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = ExceptionGroup("inner", [Unavailable("no NATS")])
    failing(monkeypatch, ExceptionGroup("outer", [inner]))
    assert main() == 2
    assert capsys.readouterr().err == "dalsegno: no NATS\n"


def test_a_fault_of_the_program_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        main()


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main() == 130


def test_the_table_names_commands_that_can_be_imported() -> None:
    group = command_line()
    assert group.list_commands(click.Context(group)) == list(COMMANDS)
    for lazy in COMMANDS.values():
        module, _, attribute = lazy.target.partition(":")
        assert isinstance(getattr(import_module(module), attribute), click.Command)
