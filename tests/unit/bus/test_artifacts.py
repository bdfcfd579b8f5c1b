"""Large values by reference: the way out and back."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus.artifacts import (
    CLAIM,
    PAYLOAD_BYTES_MAX,
    ArtifactStore,
    check_in,
    check_out,
    has_claim,
    is_claim,
)
from dalsegno_bus.errors import ArtifactMissing, SettingsError, UsageError

KEYS = st.text(max_size=8).filter(lambda key: key != CLAIM)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@pytest.fixture(scope="module")
def shared_store() -> Iterator[ArtifactStore]:
    with tempfile.TemporaryDirectory() as folder:
        yield ArtifactStore(folder)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path))


@given(value=JSON, bytes_max=st.integers(250, 2_000))
def test_what_was_checked_in_comes_out_again(
    shared_store: ArtifactStore, value: Any, bytes_max: int
) -> None:
    checked = check_in(value, shared_store, bytes_max=bytes_max)
    assert len(orjson.dumps(checked)) <= bytes_max
    assert check_out(checked, shared_store) == value
    if len(orjson.dumps(value)) <= bytes_max:
        assert checked == value
    else:
        assert has_claim(checked)


def test_small_fields_stay_readable_when_a_large_one_leaves(store: ArtifactStore) -> None:
    value = {"id": 7, "table": "x" * PAYLOAD_BYTES_MAX, "note": "n" * 100}
    checked = check_in(value, store)
    assert (checked["id"], checked["note"]) == (7, value["note"])
    assert is_claim(checked["table"])


def test_what_is_large_by_many_small_fields_leaves_as_a_whole(store: ArtifactStore) -> None:
    value = {str(number): number for number in range(200)}
    checked = check_in(value, store, bytes_max=1_000)
    assert is_claim(checked)
    assert check_out(checked, store) == value


def test_claims_are_found_at_any_depth(store: ArtifactStore) -> None:
    claim = check_in("x" * 100_000, store)
    value = {"a": [1, {"b": claim}]}
    assert has_claim(value)
    assert not has_claim({"a": [1, {"b": 2}]})
    assert check_out(value, store) == {"a": [1, {"b": "x" * 100_000}]}


def test_equal_bytes_are_one_artifact(store: ArtifactStore, tmp_path: Path) -> None:
    first = store.put(b"same", media_type="text/plain", name="a.txt")
    second = store.put(b"same", media_type="text/plain", name="a.txt")
    assert first == second
    assert store.get(first) == b"same"
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_an_altered_artifact_is_detected(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = store.put(b"original")
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(b"modified")
    with pytest.raises(ArtifactMissing, match="altered"):
        store.get(artifact)


def test_a_missing_artifact_says_what_to_look_at(store: ArtifactStore, tmp_path: Path) -> None:
    checked = check_in("x" * 100_000, store)
    other = ArtifactStore(str(tmp_path / "other"))
    with pytest.raises(ArtifactMissing, match="DALSEGNO_ARTIFACTS_URL"):
        check_out(checked, other)


def test_a_store_may_be_a_url(tmp_path: Path) -> None:
    store = ArtifactStore((tmp_path / "deep" / "store").as_uri())
    assert store.get(store.put(b"x")) == b"x"


@pytest.mark.parametrize("url", ["ftp://host/path", "http://host"])
def test_a_url_that_nobody_can_open_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="DALSEGNO_ARTIFACTS_URL"):
        ArtifactStore(url)


def test_what_a_user_calls_by_our_name_is_no_claim_unless_alone() -> None:
    assert not is_claim({CLAIM: {}, "other": 1})
    assert not is_claim(cast("object", [CLAIM]))


def test_what_only_looks_like_a_claim_is_refused_with_a_sentence(store: ArtifactStore) -> None:
    with pytest.raises(UsageError, match="another name"):
        check_out({"field": {CLAIM: "mine"}}, store)


def test_no_artifact_is_made_for_a_field_that_is_shorter_than_a_claim(
    store: ArtifactStore, tmp_path: Path
) -> None:
    check_in({str(number): "short" for number in range(5_000)}, store, bytes_max=1_000)
    assert sum(path.is_file() for path in tmp_path.rglob("*")) == 1
