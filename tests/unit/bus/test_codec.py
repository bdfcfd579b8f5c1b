"""Messages to bytes and back."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dalsegno_bus.codec import MESSAGE_ID, decode, encode, headers_of, message_id_of
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.ids import RunId, new_run_id
from dalsegno_bus.messages import CompletedReport, Inbox, StartRun

INBOX: TypeAdapter[Any] = TypeAdapter(Inbox)
AT = datetime(2024, 10, 1, 12, 30, tzinfo=UTC)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(run_id=st.uuids().map(RunId), value=JSON, labels=st.dictionaries(st.text(), st.text()))
def test_a_message_survives_its_journey(run_id: RunId, value: Any, labels: dict[str, str]) -> None:
    request = StartRun(run_id=run_id, workflow="report", input=value, labels=labels)
    assert decode(INBOX, encode(request)) == request
    report = CompletedReport(
        run_id=run_id, task_id="t", attempt=1, agent="a", replica="r", output=value
    )
    assert decode(INBOX, encode(report)) == report


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("field", ["output", "work_seconds"])
def test_what_is_no_number_in_json_is_refused(field: str, number: str) -> None:
    report = CompletedReport(
        run_id=new_run_id(),
        task_id="t",
        attempt=1,
        agent="a",
        replica="r",
        output=0,
        work_seconds=1,
    )
    fields = {"output": b'"output":0', "work_seconds": b'"work_seconds":1.0'}
    body = encode(report)
    assert fields[field] in body
    bad = body.replace(fields[field], f'"{field}":{number}'.encode())
    with pytest.raises(DecodeFailed):
        decode(INBOX, bad)


def test_a_text_may_speak_of_nan_and_infinity() -> None:
    request = StartRun(run_id=new_run_id(), workflow="w", input="NaN or -Infinity")
    assert decode(INBOX, encode(request)) == request


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "object"),
        (b"{}", "kind"),
        (b'{"kind":"start-run.v2"}', "start-run.v2"),
        (b'{"kind":"start-run.v1"}', "run_id"),
        (
            b'{"kind":"cancel-run.v1","run_id":"01890000-0000-7000-8000-000000000000","x":1}',
            "x: Extra",
        ),
    ],
)
def test_what_is_no_message_says_why_in_one_line(body: bytes, reason: str) -> None:
    with pytest.raises(DecodeFailed, match=reason) as failed:
        decode(INBOX, body)
    assert "\n" not in str(failed.value)


@given(st.binary())
def test_bytes_from_anywhere_are_a_message_or_a_decode_failure(body: bytes) -> None:
    with pytest.raises(DecodeFailed):
        decode(INBOX, body)


def test_a_long_list_of_faults_is_cut() -> None:
    with pytest.raises(DecodeFailed, match=r"and \d+ more$"):
        decode(INBOX, b'{"kind":"start-run.v1","a":1,"b":2,"c":3,"d":4,"e":5,"f":6}')


def test_headers_are_cloud_events_with_the_trace_beside_them() -> None:
    headers = headers_of("k.v1", message_id="m1", source="cli", at=AT, traceparent="00-1-2-01")
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "m1",
        "ce-type": "k.v1",
        "ce-source": "cli",
        "ce-time": "2024-10-01T12:30:00+00:00",
        "traceparent": "00-1-2-01",
    }
    assert "traceparent" not in headers_of("k.v1", message_id="m1", source="cli", at=AT)


def test_a_message_without_an_id_goes_by_another() -> None:
    assert message_id_of({MESSAGE_ID: "m1"}, otherwise="x") == "m1"
    assert message_id_of({MESSAGE_ID: ""}, otherwise="x") == "x"
    assert message_id_of({}, otherwise="x") == "x"
