"""Streams, consumers and buckets on a NATS server: how they are described, made, and written to.

Knows JetStream's own JSON; opens no connection.
"""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, Final

import orjson

from dalsegno_bus.bus import Outgoing
from dalsegno_bus.errors import PublishFailed, SettingsError, Unavailable
from dalsegno_bus.nats.core import check_size
from dalsegno_bus.nats.frames import Answer, ApiFault, Patience, Wire, publish_frame
from dalsegno_bus.topology import Consumer, Stream, Topology

IN_FLIGHT_MAX: Final = 2_000
"""Messages sent before the confirmations of those before them are awaited."""

MARKER_SECONDS: Final = 60
"""How long a bucket remembers that a key was deleted or has expired."""

_API: Final = "$JS.API"
_NANOSECONDS: Final = 1_000_000_000
_STREAM_DIFFERS: Final = 10058
_CONSUMER_MISSING: Final = 10014
_CONSUMER_NOT_STORED: Final = 10012
_WRONG_REVISION: Final = frozenset({10071, 10164})
_STORE_FAILED: Final = 10077
"""Several reasons share this number: only the text tells a taken subject from a full stream."""
_TRANSIENT: Final = frozenset({10008, 10009, 10023, 10039, 10047, 10059, 10076, 10118, 10119})
"""No leader yet, no space now, offline, starting or ending, a stream lost since it was made: things
that pass."""
_SUBJECT_TAKEN: Final = "maximum messages per subject exceeded"


def nanoseconds(seconds: float) -> int:
    """As JetStream counts time."""
    return int(seconds * _NANOSECONDS)


def bucket_stream(bucket: str) -> str:
    """The stream that holds a bucket."""
    return f"KV_{bucket}"


def stream_config(stream: Stream) -> dict[str, Any]:
    """A stream as the server wants it described."""
    config: dict[str, Any] = {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "storage": "file",
        "max_msgs": stream.messages_max,
        "retention": "workqueue" if stream.keeps == "work" else "limits",
        "discard": "new" if stream.keeps == "work" else "old",
    }
    if stream.one_per_subject:
        config |= {"max_msgs_per_subject": 1, "discard_new_per_subject": True}
    return config


def bucket_config(bucket: str) -> dict[str, Any]:
    """The stream behind a bucket, laid out as every NATS client expects it."""
    return {
        "name": bucket_stream(bucket),
        "subjects": [f"$KV.{bucket}.>"],
        "storage": "file",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
        "allow_msg_ttl": True,
        "subject_delete_marker_ttl": nanoseconds(MARKER_SECONDS),
    }


def consumer_config(consumer: Consumer) -> dict[str, Any]:
    """A durable pull consumer as the server wants it described."""
    return {
        "name": consumer.name,
        "durable_name": consumer.name,
        "ack_policy": "explicit",
        "ack_wait": nanoseconds(consumer.ack_wait_seconds),
        "max_ack_pending": consumer.acks_pending_max,
        "max_deliver": -1,
        "filter_subjects": list(consumer.patterns),
    }


class Provisioner:
    """Makes what is described, and notices what was made anew. Several processes may do so."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._made: dict[str, str] = {}  # stream → when it was created, as last seen
        self.renewals = 0
        """How often a stream was found to be another one than before."""

    async def provision(self, topology: Topology) -> None:
        """Make sure that all of it exists as described.

        Raises:
            SettingsError: Something exists that the server will not change.
            Unavailable: The server does not answer.
        """
        streams = {stream.name: stream for stream in topology.streams}
        streams |= {consumer.stream.name: consumer.stream for consumer in topology.consumers}
        for stream in streams.values():
            await self.stream(stream_config(stream))
        for bucket in topology.buckets:
            await self.stream(bucket_config(bucket))
        for consumer in topology.consumers:
            await self.consumer(consumer.stream.name, consumer_config(consumer))

    async def stream(self, config: dict[str, Any]) -> str:
        """Make sure that one stream exists; return when it was created."""
        name: str = config["name"]
        body = orjson.dumps(config)
        try:
            answer = await self._wire.call(f"{_API}.STREAM.CREATE.{name}", body)
        except ApiFault as fault:
            if fault.err_code != _STREAM_DIFFERS:
                raise _refused(f"stream {name}", fault) from fault
            try:
                answer = await self._wire.call(f"{_API}.STREAM.UPDATE.{name}", body)
            except ApiFault as second:
                raise _refused(f"stream {name}", second) from second
        created: str = answer["created"]
        if self._made.get(name, created) != created:
            self.renewals += 1
        self._made[name] = created
        return created

    async def consumer(self, stream: str, config: dict[str, Any]) -> Answer:
        """Make sure that one consumer exists; return what the server says of it."""
        name: str = config["name"]
        # Where its old files are damaged, the server neither reads nor removes them; in memory it
        # works as well, and what that forgets with the server is delivered once more. Refused there
        # too: it differs, or somebody else has just made it with files.
        tries: list[dict[str, Any]] = [{}, {"mem_storage": True}, {}]
        for number, more in enumerate(tries, start=1):
            body = orjson.dumps({"stream_name": stream, "config": config | more, "action": ""})
            try:
                return await self._wire.call(f"{_API}.CONSUMER.CREATE.{stream}.{name}", body)
            except ApiFault as fault:
                if number == len(tries) or fault.err_code != _CONSUMER_NOT_STORED:
                    raise _refused(f"consumer {name} of stream {stream}", fault) from fault
        raise AssertionError("it was made, or was not")

    async def renew(self, stream: str, config: dict[str, Any]) -> None:
        """Make one consumer anew: it forgets what it has handed out."""
        try:
            await self._wire.call(f"{_API}.CONSUMER.DELETE.{stream}.{config['name']}", b"")
        except ApiFault as fault:
            if fault.err_code != _CONSUMER_MISSING:
                raise _refused(f"to delete consumer {config['name']} of {stream}", fault) from fault
        await self.consumer(stream, config)


class Publisher:
    """Writes into streams: sends a whole batch, then gathers its confirmations.

    One subscription takes the confirmations of all batches; each has one future.
    """

    def __init__(self, wire: Wire, inbox: str, patience: Patience) -> None:
        self._wire = wire
        self._seconds_max = patience.store_seconds
        self._inbox = f"{inbox}."
        self._batches: dict[int, _Batch] = {}
        self._numbers = itertools.count(1)

    async def open(self) -> None:
        """Begin to hear confirmations."""
        await self._wire.hear(f"{self._inbox}*.*", self._confirmed)
        self._wire.when_lost(self._lost)

    async def confirm(self, messages: Sequence[Outgoing]) -> list[bytes]:
        """Send `messages` and return what the server answered to each; empty: no stream has it.

        Raises:
            PublishFailed: Not all were answered, or one is too large (then none was sent).
        """
        answers: list[bytes] = []
        for message in messages:
            check_size(message, self._wire.body_bytes_max)
        for start in range(0, len(messages), IN_FLIGHT_MAX):
            answers += await self._confirm(messages[start : start + IN_FLIGHT_MAX])
        return answers

    async def _confirm(self, messages: Sequence[Outgoing]) -> list[bytes]:
        number = next(self._numbers)
        batch = self._batches[number] = _Batch(len(messages))
        reply = f"{self._inbox}{number}."
        try:
            for index, message in enumerate(messages):
                frame = publish_frame(
                    message.subject, message.body, message.headers, f"{reply}{index}"
                )
                if not self._wire.send(frame):
                    raise PublishFailed(self._lost_text(batch))
            await self._wire.relieve()
            async with asyncio.timeout(self._seconds_max):
                await batch.done
        except TimeoutError as error:
            raise PublishFailed(
                f"{batch.left} of {len(messages)} messages were not confirmed within "
                f"{self._seconds_max:g} seconds: publish again, with the same ids"
            ) from error
        finally:
            del self._batches[number]
        if batch.left:
            raise PublishFailed(self._lost_text(batch))
        return [answer or b"" for answer in batch.answers]

    def _confirmed(self, subject: bytes, reply: bytes, body: bytes, headers: bytes | None) -> None:
        del reply, headers
        number, _, index = subject[len(self._inbox) :].partition(b".")
        batch = self._batches.get(int(number))
        if batch is not None:
            batch.take(int(index), body)

    def _lost(self) -> None:
        for batch in self._batches.values():
            batch.finish()

    def _lost_text(self, batch: "_Batch") -> str:
        return (
            f"the connection to {self._wire.address} was lost before {batch.left} messages "
            "were confirmed: publish again, with the same ids"
        )


class _Batch:
    __slots__ = ("answers", "done", "left")

    def __init__(self, size: int) -> None:
        self.left = size
        self.answers: list[bytes | None] = [None] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not size:
            self.finish()

    def take(self, index: int, body: bytes) -> None:
        if self.answers[index] is None:
            self.answers[index] = body
            self.left -= 1
            if not self.left:
                self.finish()

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def sequence_of(answer: bytes) -> int | None:
    """Where a stream stored a message; None: it refused, the subject holds one already, or another.

    Raises:
        PublishFailed: It failed for another reason.
    """
    try:
        said = orjson.loads(answer)
        error = said.get("error")
        if error is None:
            return int(said["seq"])
        code = error.get("err_code")
    except (ValueError, LookupError, TypeError, AttributeError) as fault:
        raise PublishFailed(
            f"somebody who is no stream answered {answer[:80]!r}: publish again, with the same id"
        ) from fault
    if code == _STORE_FAILED and error.get("description") == _SUBJECT_TAKEN:
        return None
    if code in _WRONG_REVISION:
        return None
    raise PublishFailed(
        f"the stream refused a message: {error.get('description')}; "
        "if it is full, wait until its readers have caught up, then publish again"
    )


def _refused(what: str, fault: ApiFault) -> SettingsError | Unavailable:
    if fault.err_code in _TRANSIENT:
        return Unavailable(f"JetStream is not ready: {fault.description}; wait and try again")
    return SettingsError(
        f"the NATS server refuses {what}: {fault.description}; "
        "delete it, or use another namespace (DALSEGNO_NAMESPACE)"
    )
