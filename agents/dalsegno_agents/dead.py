"""Dead letters: what reached an agent and is no command, with the reason, for people to look at."""

from base64 import b64encode
from datetime import datetime
from typing import Final

from dalsegno_bus import codec
from dalsegno_bus.bus import Delivery, Outgoing
from dalsegno_bus.ids import new_message_id
from dalsegno_bus.messages import DeadLetter
from dalsegno_bus.subjects import Subjects

BODY_BYTES_MAX: Final = 16 * 1024
"""So much of the body is kept; its full length is told."""


def dead_letter(
    delivery: Delivery, reason: str, *, agent: str, source: str, subjects: Subjects, now: datetime
) -> Outgoing:
    """The letter about something that nobody here could use.

    Args:
        delivery: What it was.
        reason: Why it is of no use, readable.
        agent: Whom it reached.
        source: Which process says so.
        subjects: The names of the wire.
        now: The time now (UTC).
    """
    letter = DeadLetter(
        subject=delivery.subject,
        reason=reason,
        body_base64=b64encode(delivery.body[:BODY_BYTES_MAX]).decode(),
        body_bytes=len(delivery.body),
        headers=dict(delivery.headers),
        at=now,
    )
    headers = codec.headers_of(
        letter.kind, message_id=new_message_id(), source=source, at=letter.at
    )
    return Outgoing(subjects.dead(f"agent-{agent}"), codec.encode(letter), headers)
