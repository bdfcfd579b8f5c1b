"""Messages to bytes and back: a JSON body, CloudEvents attributes and trace context as headers.

The body alone says what a message is (`kind`), so a client without headers is understood too.
CloudEvents in binary content mode, version 1.0 (cloudevents.io, NATS protocol binding).
"""

from datetime import datetime
from typing import Final, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from dalsegno_bus.bus import Headers
from dalsegno_bus.errors import DecodeFailed

MESSAGE_ID: Final = "ce-id"
REPLY_TO: Final = "ds-reply"
"""Header: the subject on which the sender waits for `Accepted` or `Rejected`."""
REQUEST_ID: Final = "ds-request"
"""Header of a reply: the id of the request that it answers."""
TRACEPARENT: Final = "traceparent"
_REASONS_MAX: Final = 5

MessageT = TypeVar("MessageT")


def encode(message: BaseModel) -> bytes:
    """The body of a message."""
    return message.__pydantic_serializer__.to_json(message)


def headers_of(
    kind: str, *, message_id: str, source: str, at: datetime, traceparent: str | None = None
) -> dict[str, str]:
    """The headers that every message carries; `source` names the sending process."""
    headers = {
        "ce-specversion": "1.0",
        MESSAGE_ID: message_id,
        "ce-type": kind,
        "ce-source": source,
        "ce-time": at.isoformat(),
    }
    if traceparent is not None:
        headers[TRACEPARENT] = traceparent
    return headers


def decode(adapter: TypeAdapter[MessageT], body: bytes) -> MessageT:
    """The message in these bytes.

    Raises:
        DecodeFailed: Not JSON, an unknown kind or version, or a field that does not fit.
    """
    try:
        message = adapter.validate_json(body)
    except ValidationError as error:
        raise DecodeFailed(readable(error)) from error
    if b"NaN" in body or b"Infinity" in body:  # fine in a text, but no JSON numbers
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise DecodeFailed("NaN and Infinity are no JSON numbers") from error
    return message


def message_id_of(headers: Headers, *, otherwise: str) -> str:
    """What the sender called this message, or `otherwise` if it gave no id."""
    return headers.get(MESSAGE_ID) or otherwise


def readable(error: ValidationError) -> str:
    """A validation error as one line: where, what, for each of the first few faults."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [
        f"{'.'.join(str(part) for part in fault['loc']) or 'message'}: {fault['msg']}"
        for fault in faults[:_REASONS_MAX]
    ]
    if len(faults) > _REASONS_MAX:
        lines.append(f"and {len(faults) - _REASONS_MAX} more")
    return "; ".join(lines)
