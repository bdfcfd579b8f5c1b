"""Writes the files that a run's output refers to: an artifact with a name becomes such a file."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, cast

from pydantic import ValidationError

from dalsegno_bus.artifacts import ArtifactStore
from dalsegno_bus.errors import UsageError
from dalsegno_bus.messages import Artifact, Json


async def write_files(output: Json, folder: Path, store: ArtifactStore) -> list[Path]:
    """Write every named artifact in `output` into `folder` (made if need be).

    Names lose all but their last part, so that nothing lands elsewhere; a name that comes twice
    for different contents gets a number.

    Returns:
        The files, in the order in which the output names them.

    Raises:
        ArtifactMissing: One is not in the store.
        UsageError: The folder cannot be written.
    """
    artifacts = list(dict.fromkeys(artifacts_in(output)))
    return await asyncio.to_thread(_write, artifacts, folder, store)


def artifacts_in(value: Json) -> Iterator[Artifact]:
    """The named artifacts at any depth of `value`."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        artifact = _artifact(fields)
        if artifact is not None:
            yield artifact
            return
        for field in fields.values():
            yield from artifacts_in(field)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from artifacts_in(item)


def _artifact(fields: Mapping[str, Any]) -> Artifact | None:
    if not fields.get("name") or "sha256" not in fields:
        return None
    try:
        return Artifact.model_validate(fields)
    except ValidationError:
        return None


def _write(artifacts: list[Artifact], folder: Path, store: ArtifactStore) -> list[Path]:
    written: list[Path] = []
    for artifact in artifacts:
        path = _free(folder / _safe(artifact.name or ""), written)
        body = store.get(artifact)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        except OSError as error:
            raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
        written.append(path)
    return written


def _safe(name: str) -> str:
    """The last part of a name, whatever system it came from."""
    last = PurePath(name.replace("\\", "/")).name
    kept = "".join(character if character.isprintable() else "_" for character in last)
    return kept if kept.strip(". ") else "file"


def _free(path: Path, taken: list[Path]) -> Path:
    number = 1
    free = path
    while free in taken:
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
