"""Looks at what a stream of the broker holds, message by message, without taking anything."""

from dalsegno_bus.bus import Kept, Span
from dalsegno_bus.memory.broker import MemoryBroker
from dalsegno_bus.topology import Stream


def span(broker: MemoryBroker, stream: Stream) -> Span:
    """See `bus.Bus.span`."""
    known = broker.streams.get(stream.name)
    held = {} if known is None else known.held
    return Span(min(held), max(held), len(held)) if held else Span(0, 0, 0)


def look(broker: MemoryBroker, stream: Stream, sequence: int) -> Kept | None:
    """See `bus.Bus.look`."""
    known = broker.streams.get(stream.name)
    held = None if known is None else known.held.get(sequence)
    if held is None:
        return None
    message = held.message
    return Kept(
        sequence=sequence,
        subject=message.subject,
        body=message.body,
        headers=message.headers,
        stored_at=held.stored_at,
    )


def remove(broker: MemoryBroker, stream: Stream, sequence: int) -> bool:
    """See `bus.Bus.remove`."""
    known = broker.streams.get(stream.name)
    if known is None or sequence not in known.held:
        return False
    known.remove(sequence)
    return True
