"""Files that a run's output refers to: where they land, and where they never land."""

from pathlib import Path
from typing import Any

import pytest

from dalsegno.files import artifacts_in, write_files
from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.errors import ArtifactMissing, UsageError


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "artifacts"))


def put(store: ArtifactStore, body: bytes, name: str | None) -> dict[str, Any]:
    return store.put(body, name=name).model_dump(mode="json")


async def test_named_artifacts_at_any_depth_become_files(
    store: ArtifactStore, tmp_path: Path
) -> None:
    output = {
        "report": {"html": put(store, b"<p>", "report.html"), "pages": 3},
        "more": [put(store, b"a,b", "table.csv"), {"deep": [put(store, b"x", None)]}],
    }
    written = await write_files(output, tmp_path / "out", store)
    assert [path.name for path in written] == ["report.html", "table.csv"]
    assert [path.read_bytes() for path in written] == [b"<p>", b"a,b"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../escape.txt", "escape.txt"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\escape.txt", "escape.txt"),
        ("..", "file"),
        ("a\x1b[2Jb.txt", "a_[2Jb.txt"),
    ],
)
async def test_no_name_leads_out_of_the_folder(
    store: ArtifactStore, tmp_path: Path, name: str, file: str
) -> None:
    [path] = await write_files([put(store, b"x", name)], tmp_path / "out", store)
    assert path == tmp_path / "out" / file


async def test_two_files_of_one_name_are_both_written(store: ArtifactStore, tmp_path: Path) -> None:
    output = [put(store, b"1", "a.txt"), put(store, b"2", "a.txt"), put(store, b"1", "a.txt")]
    written = await write_files(output, tmp_path / "out", store)
    assert [(path.name, path.read_bytes()) for path in written] == [
        ("a.txt", b"1"),
        ("a-2.txt", b"2"),
    ]


def test_what_only_looks_like_an_artifact_is_left_alone() -> None:
    odd = {"name": "x", "sha256": "short", "size_bytes": 1}
    assert list(artifacts_in({"a": odd, "b": None, "c": 3, "d": "text"})) == []


async def test_nothing_is_made_where_there_is_nothing_to_write(
    store: ArtifactStore, tmp_path: Path
) -> None:
    assert await write_files({"x": 1}, tmp_path / "out", store) == []
    assert not (tmp_path / "out").exists()


async def test_an_artifact_that_is_gone_is_named(store: ArtifactStore, tmp_path: Path) -> None:
    lost = put(ArtifactStore(str(tmp_path / "elsewhere")), b"x", "a.txt")
    with pytest.raises(ArtifactMissing):
        await write_files(lost, tmp_path / "out", store)


async def test_a_folder_that_cannot_be_written_is_named(
    store: ArtifactStore, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot write '.*a\.txt'"):
        await write_files(put(store, b"x", "a.txt"), tmp_path / "out", store)
