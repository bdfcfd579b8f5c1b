"""What came in: deliveries, decoded once, with what the pipeline needs to know of each."""

import re
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from dalsegno_bus.bus import Delivery
from dalsegno_bus.codec import REPLY_TO, decode, message_id_of
from dalsegno_bus.errors import DecodeFailed, UsageError
from dalsegno_bus.ids import LIMITS, RunId, schedule_id, workflow_id
from dalsegno_bus.messages import (
    ChildOver,
    Inbox,
    PauseSchedule,
    RegisterWorkflow,
    Report,
    ResumeSchedule,
    SetLimit,
    StartRun,
)
from dalsegno_bus.subjects import Subjects

BODY_BYTES_MAX: Final = 512 * 1024
"""Our own clients and agents send far less: they check large values in."""

MESSAGE_ID_MAX: Final = 256
"""Characters of a message's id: it stands in every event that follows from the message."""

_REPLY_SUBJECT: Final = re.compile(r"[^\s.*>$][^\s*>]{0,255}")
"""A server ends the connection of whoever publishes elsewhere; `$` is where its own API listens."""

_INBOX: TypeAdapter[Inbox] = TypeAdapter(Inbox)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One message of the inbox."""

    delivery: Delivery
    message: Inbox | None
    """None: the bytes are no message; `fault` says why."""
    fault: str = ""
    message_id: str = ""
    reply_to: str | None = None
    """Where a client waits for an answer."""
    by: str = ""
    """Who sent it, as the history records it."""

    @property
    def stream_id(self) -> UUID:
        """The stream that its subject names."""
        return UUID(self.delivery.subject.rpartition(".")[2])


def hear(delivery: Delivery, subjects: Subjects) -> Heard:
    """Decode a delivery. A message must have come on the very subject that it belongs to.

    So nobody reports in the name of another agent, and no message reaches a wrong partition. Nor
    does anybody have us answer into our own streams, or on what is no subject.
    """
    headers = delivery.headers
    reply_to = headers.get(REPLY_TO)
    message_id = message_id_of(headers, otherwise="")
    fault = _fault_of_headers(reply_to, message_id, subjects)
    if fault:
        return Heard(delivery=delivery, message=None, fault=fault)
    unusable = Heard(delivery=delivery, message=None, message_id=message_id, reply_to=reply_to)
    if len(delivery.body) > BODY_BYTES_MAX:
        fault = (
            f"oversized: {len(delivery.body)} bytes, at most {BODY_BYTES_MAX} are read; "
            "large values travel by reference"
        )
        return replace(unusable, fault=fault)
    try:
        message = decode(_INBOX, delivery.body)
        subject = _subject_of(message, subjects)
    except (DecodeFailed, UsageError) as error:
        return replace(unusable, fault=str(error))
    if subject != delivery.subject:
        fault = f"a {message.kind} like this belongs on {subject}, it came on {delivery.subject}"
        return replace(unusable, fault=fault)
    return Heard(
        delivery=delivery,
        message=message,
        message_id=message_id or _id_of_place(delivery),
        reply_to=reply_to,
        by=_author(message),
    )


def run_of(heard: Heard) -> RunId | None:
    """The run (or schedule) that a message is about, if it is about one."""
    match heard.message:
        case None | RegisterWorkflow() | SetLimit() | PauseSchedule() | ResumeSchedule():
            return None
        case message:
            return message.run_id


def _id_of_place(delivery: Delivery) -> str:
    """An id for a message without one. Sequences alone begin anew when a server loses its data."""
    return f"seq-{delivery.sequence}-{delivery.stored_at.timestamp():.6f}"


def _fault_of_headers(reply_to: str | None, message_id: str, subjects: Subjects) -> str:
    if len(message_id) > MESSAGE_ID_MAX:
        return f"a message id of {len(message_id)} characters; {MESSAGE_ID_MAX} are possible"
    if reply_to is None:
        return ""
    is_ours = reply_to.startswith(f"{subjects.namespace}.")
    if is_ours or _REPLY_SUBJECT.fullmatch(reply_to) is None:
        return f"nobody is answered on {reply_to[:80]!r}; wait on a subject such as _INBOX.<random>"
    return ""


def _subject_of(message: Inbox, subjects: Subjects) -> str:
    match message:
        case RegisterWorkflow():
            return subjects.request(workflow_id(str(message.definition.get("workflow", ""))))
        case PauseSchedule() | ResumeSchedule():
            return subjects.request(schedule_id(message.workflow))
        case SetLimit():
            return subjects.request(LIMITS)
        case Report():
            return subjects.report(message.agent, message.run_id)
        case _:
            return subjects.request(message.run_id)


def _author(message: Inbox) -> str:
    match message:
        case Report():
            return f"agent:{message.agent}/{message.replica}"
        case ChildOver():
            return f"run:{message.child}"
        case StartRun() if message.parent is not None:
            return message.requested_by
        case _:
            return f"client:{message.requested_by}"
