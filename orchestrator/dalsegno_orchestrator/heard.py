"""What came in: deliveries, decoded once, with what the pipeline needs to know of each."""

from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

from pydantic import TypeAdapter

from dalsegno_bus.bus import Delivery
from dalsegno_bus.codec import REPLY_TO, decode, message_id_of
from dalsegno_bus.errors import DecodeFailed
from dalsegno_bus.ids import RunId, workflow_id
from dalsegno_bus.messages import (
    CancelRun,
    CompletedReport,
    ContextReport,
    FailedReport,
    Inbox,
    RegisterWorkflow,
    SignalRun,
    StartRun,
)

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


def hear(delivery: Delivery) -> Heard:
    """Decode a delivery. A message must be about the run that its subject names."""
    try:
        message = decode(_INBOX, delivery.body)
    except DecodeFailed as error:
        return Heard(delivery=delivery, message=None, fault=str(error))
    named = delivery.subject.rpartition(".")[2]
    about = _stream_of(message)
    if str(about) != named:
        fault = f"the message is about {about}, its subject about {named!r}"
        return Heard(delivery=delivery, message=None, fault=fault)
    if isinstance(message, CompletedReport | FailedReport | ContextReport):
        agent = delivery.subject.rsplit(".", 2)[1]
        if agent != message.agent:
            fault = f"agent {agent!r} reports in the name of {message.agent!r}"
            return Heard(delivery=delivery, message=None, fault=fault)
    headers = delivery.headers
    return Heard(
        delivery=delivery,
        message=message,
        message_id=message_id_of(headers, otherwise=f"seq-{delivery.sequence}"),
        reply_to=headers.get(REPLY_TO),
        by=_author(message),
    )


def run_of(heard: Heard) -> RunId | None:
    """The run that a message is about, if it is about one."""
    match heard.message:
        case None | RegisterWorkflow():
            return None
        case message:
            return message.run_id


def _stream_of(message: Inbox) -> UUID:
    if isinstance(message, RegisterWorkflow):
        return workflow_id(str(message.definition.get("workflow", "")))
    return message.run_id


def _author(message: Inbox) -> str:
    match message:
        case StartRun() | SignalRun() | CancelRun() | RegisterWorkflow():
            return f"client:{message.requested_by}"
        case CompletedReport() | FailedReport() | ContextReport():
            return f"agent:{message.agent}/{message.replica}"
        case _:
            assert_never(message)
