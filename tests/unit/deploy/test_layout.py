"""Where a stack keeps its files, and how others find it."""

from pathlib import Path

import pytest

from dalsegno.layout import FINANCE_AGENTS, from_settings, in_folder, speak_to
from dalsegno.lock import alone_in, is_running
from dalsegno.output import typed
from dalsegno_bus.errors import SettingsError, UsageError
from dalsegno_bus.settings import BusSettings


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("NATS_URL", "STORE_URL", "VIEWS_URL", "ARTIFACTS_URL", "NAMESPACE", "PARTITIONS"):
        monkeypatch.delenv(f"DALSEGNO_{name}", raising=False)
        monkeypatch.setenv(f"DALSEGNO_{name}", "")  # so that what a test sets is undone
        monkeypatch.delenv(f"DALSEGNO_{name}")
    return tmp_path


def test_without_settings_it_is_the_finance_agents_on_the_usual_port() -> None:
    layout = from_settings()
    assert (layout.nats_port, layout.agents) == (4222, FINANCE_AGENTS)
    assert layout.environment["DALSEGNO_STORE_URL"] == "sqlite:///.dalsegno/store.db"


def test_a_settings_file_says_what_to_start(empty_folder: Path) -> None:
    (empty_folder / "dalsegno.toml").write_text(
        'nats_url = "nats://localhost:4333"\nagents = ["mine:agent", "mine:agent"]\n'
        'namespace = "blue"\n'
    )
    layout = from_settings()
    assert (layout.nats_port, layout.agents) == (4333, ("mine:agent", "mine:agent"))
    assert layout.environment["DALSEGNO_NAMESPACE"] == "blue"
    assert from_settings(("other:agent",)).agents == ("other:agent",)


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("nats://127.0.0.1:4333", 4333),
        ("localhost:4333", 4333),
        ("nats://localhost", 4222),
        ("nats://nats.example:4222", None),
        ("nats://127.0.0.1:1,nats://127.0.0.1:2", None),
    ],
)
def test_nats_is_started_here_only_if_it_is_meant_to_be_here(
    url: str, port: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALSEGNO_NATS_URL", url)
    assert from_settings().nats_port == port


def test_a_port_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DALSEGNO_NATS_URL", "nats://127.0.0.1:many")
    with pytest.raises(SettingsError, match="DALSEGNO_NATS_URL"):
        from_settings()


def test_whoever_is_told_the_folder_finds_the_stack(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DALSEGNO_NAMESPACE", "blue")
    folder = empty_folder / "here"
    folder.mkdir()
    in_folder(folder).write_note("nats://127.0.0.1:5555")
    monkeypatch.setenv("DALSEGNO_NAMESPACE", "green")
    speak_to(Path("here"))
    settings = BusSettings()
    assert (settings.nats_url, settings.namespace) == ("nats://127.0.0.1:5555", "blue")
    assert settings.artifacts_url == str(folder / "artifacts")


def test_a_folder_without_a_stack_says_how_to_start_one() -> None:
    with pytest.raises(UsageError, match="dalsegno up --folder nowhere"):
        speak_to(Path("nowhere"))


def test_a_damaged_note_is_named(empty_folder: Path) -> None:
    (empty_folder / "stack.json").write_text("{")
    with pytest.raises(SettingsError, match=r"stack\.json is damaged"):
        speak_to(empty_folder)


async def test_a_folder_has_one_stack(empty_folder: Path) -> None:
    assert not is_running(empty_folder)
    async with alone_in(empty_folder):
        assert is_running(empty_folder)
        with pytest.raises(UsageError, match="runs in"):
            async with alone_in(empty_folder):
                pass
    assert not is_running(empty_folder)


async def test_looking_whether_a_stack_runs_leaves_no_trace(empty_folder: Path) -> None:
    assert not is_running(empty_folder / "nowhere")
    assert not (empty_folder / "nowhere").exists()
    async with alone_in(empty_folder / "somewhere"):
        pass
    assert not is_running(empty_folder / "somewhere")
    async with alone_in(empty_folder / "somewhere"):
        pass


def test_commands_are_shown_as_they_work_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    assert typed("runs list") == "dalsegno runs list"
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    assert typed("up", Path("a b")) == "uv run dalsegno up --folder 'a b'"
