"""Bad bytes as hypothesis makes them, so that it can shrink what fails."""

from collections.abc import Sequence
from typing import Any

import orjson
from fuzz.garbage import Garbage
from hypothesis import strategies as st

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def bad_bytes(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Random bytes, random JSON, and what has gone wrong with valid messages."""
    return st.one_of(
        st.binary(max_size=300),
        JSON.map(lambda value: orjson.dumps(value)),
        st.randoms(use_true_random=False).map(lambda random: Garbage(random).body(samples)),
    )
