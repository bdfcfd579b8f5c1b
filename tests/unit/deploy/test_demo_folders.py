"""The folders of demos: cleared away by the next one, but never from under a demo that runs."""

from pathlib import Path

from dalsegno.demo.folders import clear_away, keep, new_folder
from dalsegno.lock import alone_in


async def finished(folder: Path) -> Path:
    """A folder as a demo leaves it."""
    async with alone_in(folder):
        (folder / "store.db").write_text("history")
    return folder


def test_two_demos_have_two_folders(tmp_path: Path) -> None:
    assert new_folder(tmp_path) != new_folder(tmp_path)


async def test_what_a_finished_demo_left_is_cleared_away(tmp_path: Path) -> None:
    left = await finished(new_folder(tmp_path))
    assert clear_away(tmp_path) == [left]
    assert not left.exists()


async def test_what_was_asked_to_be_kept_stays(tmp_path: Path) -> None:
    left = await finished(new_folder(tmp_path))
    keep(left)
    assert clear_away(tmp_path) == []
    assert (left / "store.db").exists()


async def test_a_demo_that_runs_is_left_alone(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    async with alone_in(folder):
        assert clear_away(tmp_path) == []
    assert folder.exists()


async def test_a_demo_that_is_only_beginning_is_left_alone(tmp_path: Path) -> None:
    folder = new_folder(tmp_path)
    (folder / "books").mkdir(parents=True)
    assert clear_away(tmp_path) == []


async def test_nothing_else_is_touched(tmp_path: Path) -> None:
    other = await finished(tmp_path / "mine")
    (tmp_path / "reports").mkdir()
    assert clear_away(tmp_path) == []
    assert other.exists()
    assert clear_away(tmp_path / "nowhere") == []
