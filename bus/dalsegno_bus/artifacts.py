"""Large values by reference (claim check): content-addressed bytes in an object store.

A local folder by default; in its place any URL that `obstore` knows (s3://, gs://, az://).
Equal bytes have one address, so putting twice stores once, and a crash in between leaves no damage.

Two kinds of reference travel. An `Artifact` in a user's model is a file that its author means to
hand on. A *claim* (`{"$claim": …}`) stands where a field was too large for a message: `check_in`
writes it, `check_out` puts the value back, and no handler ever sees one.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import orjson
from pydantic import ValidationError

from dalsegno_bus.codec import readable
from dalsegno_bus.errors import ArtifactMissing, SettingsError, UsageError
from dalsegno_bus.messages import Artifact, Json

if TYPE_CHECKING:
    from obstore.store import ObjectStore

PAYLOAD_BYTES_MAX: Final = 64 * 1024
"""A payload above this travels by reference."""

CLAIM: Final = "$claim"

CLAIM_BYTES_MAX: Final = 256
"""No claim is longer, so nothing shorter is worth one."""


class ArtifactStore:
    """Puts bytes under the name of their digest. Methods block; call them from a thread.

    Args:
        url: A folder (`.dalsegno/artifacts`, `file:///…`) or a bucket (`s3://bucket/prefix`).

    Raises:
        SettingsError: The URL is of a kind that nobody here can open.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: ObjectStore | None = None
        if "://" in url and urlsplit(url).scheme not in _SCHEMES:
            raise SettingsError(
                f"DALSEGNO_ARTIFACTS_URL={url!r}: use a folder or one of "
                f"{', '.join(sorted(_SCHEMES))}"
            )

    def put(
        self,
        body: bytes,
        *,
        media_type: str = "application/octet-stream",
        name: str | None = None,
    ) -> Artifact:
        """Keep `body` and return its reference."""
        sha256 = hashlib.sha256(body).hexdigest()
        self._store.put(_path(sha256), body)
        return Artifact(sha256=sha256, size_bytes=len(body), media_type=media_type, name=name)

    def get(self, artifact: Artifact) -> bytes:
        """The bytes of a reference.

        Raises:
            ArtifactMissing: Nothing lies there, or something else does.
        """
        try:
            body = bytes(self._store.get(_path(artifact.sha256)).bytes())
        except FileNotFoundError as error:
            raise ArtifactMissing(
                f"artifact {artifact.sha256[:12]}… is not in {self.url!r}; "
                "do all services use the same DALSEGNO_ARTIFACTS_URL?"
            ) from error
        if hashlib.sha256(body).hexdigest() != artifact.sha256:
            raise ArtifactMissing(f"artifact {artifact.sha256[:12]}… in {self.url!r} was altered")
        return body

    @property
    def _store(self) -> "ObjectStore":
        if self._opened is None:  # opened late: an agent without large values never loads obstore
            self._opened = _open(self.url)
        return self._opened


def check_in(value: Json, store: ArtifactStore, *, bytes_max: int = PAYLOAD_BYTES_MAX) -> Json:
    """The same value, small enough to travel: its largest fields become claims until it fits.

    Only fields of the outermost object are replaced, the largest first; any other value that is
    too large becomes one claim as a whole. So what an expression reads of a large output stays
    readable, as long as it is a small field of its own.
    """
    encoded = orjson.dumps(value)
    if len(encoded) <= bytes_max:
        return value
    if not isinstance(value, dict):
        return _claim(encoded, store)
    fields = dict(cast("dict[str, Json]", value))
    sizes = {key: orjson.dumps(field) for key, field in fields.items()}
    total = len(encoded)
    large: list[str] = []
    for key in sorted(sizes, key=lambda key: len(sizes[key]), reverse=True):
        if total <= bytes_max or len(sizes[key]) <= CLAIM_BYTES_MAX:
            break
        large.append(key)
        total += _claim_bytes(len(sizes[key])) - len(sizes[key])
    if total > bytes_max:  # known before a hundred thousand fields are kept for nothing
        return _claim(encoded, store)
    return fields | {key: _claim(sizes[key], store) for key in large}


def check_out(value: Json, store: ArtifactStore) -> Json:
    """The same value with every claim in it, at any depth, replaced by what it stands for.

    Raises:
        ArtifactMissing: A claim points at nothing.
        UsageError: Somebody wrote what looks like a claim and is none, or it is nested too deeply.
    """
    try:
        return _check_out(value, store)
    except RecursionError as error:
        raise UsageError("a value is nested too deeply to be read: make it flatter") from error


def _check_out(value: Json, store: ArtifactStore) -> Json:
    if isinstance(value, dict):
        fields = cast("dict[str, Json]", value)
        if is_claim(fields):
            return _check_out(_json_of(store.get(_artifact_of(fields[CLAIM]))), store)
        return {key: _check_out(field, store) for key, field in fields.items()}
    if isinstance(value, list):
        return [_check_out(item, store) for item in cast("list[Json]", value)]
    return value


def _json_of(body: bytes) -> Json:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"a claim stands for an artifact that is no JSON: {error}") from error


def is_claim(value: object) -> bool:
    """Whether `value` stands for something kept elsewhere."""
    return (
        isinstance(value, Mapping) and len(cast("Mapping[Any, Any]", value)) == 1 and CLAIM in value
    )


def has_claim(value: Json) -> bool:
    """Whether `value` holds a claim at any depth."""
    if isinstance(value, dict):
        fields = cast("dict[str, Json]", value)
        return is_claim(fields) or any(has_claim(field) for field in fields.values())
    return isinstance(value, list) and any(has_claim(item) for item in cast("list[Json]", value))


_SCHEMES: Final = frozenset({"file", "memory", "s3", "gs", "az", "azure", "abfs", "abfss"})


def _claim_bytes(size_bytes: int) -> int:
    """How long the claim of so many bytes is."""
    kept = Artifact(sha256="0" * 64, size_bytes=size_bytes, media_type="application/json")
    return len(orjson.dumps({CLAIM: kept.model_dump(exclude_none=True)}))


def _claim(encoded: bytes, store: ArtifactStore) -> dict[str, Json]:
    artifact = store.put(encoded, media_type="application/json")
    return {CLAIM: artifact.model_dump(exclude_none=True)}


def _artifact_of(reference: Json) -> Artifact:
    try:
        return Artifact.model_validate(reference)
    except ValidationError as error:
        raise UsageError(
            f"{CLAIM!r} is kept for values that travel by reference, and this is none: "
            f"{readable(error)}; use another name for the field"
        ) from error


def _path(sha256: str) -> str:
    return f"sha256/{sha256[:2]}/{sha256[2:]}"


def _open(url: str) -> "ObjectStore":
    from obstore.store import LocalStore, from_url

    if "://" not in url:
        folder = Path(url).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder)
    if url.startswith("file://"):
        Path(urlsplit(url).path).mkdir(parents=True, exist_ok=True)
    return from_url(url)
