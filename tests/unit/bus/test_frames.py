"""The NATS protocol as bytes."""

from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dalsegno_bus.errors import PublishFailed, UsageError
from dalsegno_bus.nats.delivery import NatsDelivery, Origin
from dalsegno_bus.nats.frames import publish_frame, read_headers, status_of
from dalsegno_bus.nats.streams import sequence_of

NAMES = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_", min_size=1, max_size=12)
VALUES = st.text(max_size=30).filter(lambda text: not set(text) & set("\r\n"))


def split(frame: bytes) -> tuple[list[bytes], bytes, bytes]:
    """The words of a frame's first line, its raw headers, its body."""
    line, _, rest = frame.partition(b"\r\n")
    words = line.split(b" ")
    head = int(words[-2]) if words[0] == b"HPUB" else 0
    size = int(words[-1])
    assert rest[size:] == b"\r\n"
    return words, rest[:head], rest[head:size]


@given(headers=st.dictionaries(NAMES, VALUES, max_size=6), body=st.binary(max_size=200))
def test_headers_and_body_arrive_as_they_were_sent(headers: dict[str, str], body: bytes) -> None:
    _, raw, sent = split(publish_frame("a.b", body, headers, "reply"))
    assert sent == body
    assert read_headers(raw) == {name: value.strip() for name, value in headers.items()}
    assert status_of(raw) == 0


@given(value=st.text(max_size=30), body=st.binary(max_size=50))
def test_no_value_of_a_header_can_reach_beyond_its_line(value: str, body: bytes) -> None:
    _, raw, sent = split(publish_frame("a.b", body, {"before": "1", "x": value, "after": "2"}))
    assert sent == body
    assert set(read_headers(raw)) == {"before", "x", "after"}


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\r\nb", "ä", "a\n"])
def test_a_name_that_is_no_header_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="header"):
        publish_frame("a.b", b"", {name: "x"})


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a\tb", "a\x00", "a\n"])
def test_a_subject_that_could_be_read_as_something_else_is_refused(subject: str) -> None:
    with pytest.raises(UsageError, match="subject"):
        publish_frame(subject, b"", {})


@pytest.mark.parametrize(
    ("raw", "status", "headers"),
    [
        (b"NATS/1.0 503\r\n\r\n", 503, {}),
        (b"NATS/1.0 100 Idle Heartbeat\r\nLast: 3\r\n\r\n", 100, {"Last": "3"}),
        (b"NATS/1.0\r\nce-id: m1\r\n\r\n", 0, {"ce-id": "m1"}),
        (b"NATS/1.0 x\r\n\r\n", 0, {}),
        (None, 0, {}),
        (b"", 0, {}),
    ],
)
def test_a_status_is_told_from_headers(
    raw: bytes | None, status: int, headers: dict[str, str]
) -> None:
    assert status_of(raw) == status
    assert read_headers(raw) == headers


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.DS_TASKS.agent-analyst.3.41.57.1727785800123456789.6",
        b"$JS.ACK.hub.ACCOUNT.DS_TASKS.agent-analyst.3.41.57.1727785800123456789.6",
        b"$JS.ACK._.ACCOUNT.DS_TASKS.agent-analyst.3.41.57.1727785800123456789.6.random",
    ],
)
def test_what_a_reply_subject_tells_of_a_delivery(reply: bytes) -> None:
    delivery = NatsDelivery(cast("Origin", None), "s", reply, b"", None)  # it is never asked
    assert delivery.consumer_name == "agent-analyst"
    assert (delivery.deliveries, delivery.sequence, delivery.left) == (3, 41, 6)
    assert delivery.stored_at == datetime(2024, 10, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"stream":"S","seq":7}', 7),
        (b'{"stream":"S","seq":7,"duplicate":true}', 7),
        (
            b'{"error":{"code":503,"err_code":10077,'
            b'"description":"maximum messages per subject exceeded"},"stream":"S","seq":0}',
            None,
        ),
    ],
)
def test_a_confirmation_tells_stored_from_refused(answer: bytes, expected: int | None) -> None:
    assert sequence_of(answer) == expected


@pytest.mark.parametrize("description", ["maximum messages exceeded", "maximum bytes exceeded"])
def test_a_full_stream_is_not_taken_for_a_taken_subject(description: str) -> None:
    answer = b'{"error":{"code":503,"err_code":10077,"description":"%b"}}' % description.encode()
    with pytest.raises(PublishFailed, match=description):
        sequence_of(answer)
