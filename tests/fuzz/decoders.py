"""Everything that reads bytes from outside, as functions that raise only what nobody foresaw.

Each takes any bytes. What it refuses, it refuses with the error that its own contract names.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Annotated, Any, Final

import orjson
from fuzz import samples
from fuzz.garbage import Garbage
from pydantic import Field, TypeAdapter, ValidationError

from dalsegno import dead_letters
from dalsegno_bus import messages as m
from dalsegno_bus.artifacts import CLAIM, ArtifactStore, check_out, has_claim
from dalsegno_bus.bus import Entry, Kept
from dalsegno_bus.codec import decode, encode
from dalsegno_bus.errors import ArtifactMissing, DecodeFailed, SettingsError, UsageError
from dalsegno_bus.settings import read_settings
from dalsegno_orchestrator.authoring.yaml_file import check_text
from dalsegno_orchestrator.directory.agents import Directory
from dalsegno_orchestrator.heard import hear
from dalsegno_orchestrator.history import UnreadableEvent, unseal
from dalsegno_orchestrator.settings import OrchestratorSettings
from dalsegno_projections.asking import QUERIES
from dalsegno_projections.parking import parked_row, unreadable_row

Target = Callable[[bytes], None]
_ANY: Final[TypeAdapter[Any]] = TypeAdapter(Any)
SAMPLES: Final = samples.bodies(samples.EVERY)


@dataclass(frozen=True, kw_only=True)
class Said:
    """A delivery, as far as decoding it needs one."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    deliveries: int = 1
    stored_at: Any = samples.AT
    sequence: int = 1

    async def ack(self) -> None: ...
    async def retry(self, *, delay_seconds: float) -> None: ...
    async def extend(self) -> None: ...
    async def drop(self) -> None: ...

    consumer_name: str = "inbox-0"


def _adapters() -> list[TypeAdapter[Any]]:
    kinds = {type(sample) for sample in samples.EVERY}
    live: Any = Annotated[m.Live, Field(discriminator="kind")]
    inbox: Any = m.Inbox
    reply: Any = Annotated[m.Reply, Field(discriminator="kind")]
    return [
        TypeAdapter(one) for one in (*sorted(kinds, key=lambda k: k.__name__), live, inbox, reply)
    ]


_ADAPTERS: Final = _adapters()


def codec(body: bytes) -> None:
    """Every message of the wire: read or refused, and what is read can be written and read."""
    for adapter in _ADAPTERS:
        with suppress(DecodeFailed):
            message = decode(adapter, body)
            assert decode(adapter, encode(message)) is not None


def inbox(body: bytes) -> None:
    """Whatever lies in the inbox is a message or has a fault in words; headers and subject too."""
    garbage = Garbage(Random(body))
    subjects = samples.SUBJECTS
    subject = garbage.random.choice(
        (
            subjects.request(samples.RUN),
            subjects.report(samples.AGENT, samples.RUN),
            f"fuzz.run.{garbage.random.randrange(3)}.{samples.RUN}",
            f"fuzz.run.0.{garbage.text()}",
            "",
        )
    )
    heard = hear(Said(subject=subject, body=body, headers=garbage.headers()), subjects)
    assert (heard.message is None) == bool(heard.fault)
    if heard.message is not None:
        assert heard.stream_id
        assert heard.message_id


def bucket(body: bytes) -> None:
    """Cards, presence and drain marks; the directory stays whole whatever it hears."""
    garbage, directory = Garbage(Random(body)), Directory()
    fields: Any = None
    with suppress(orjson.JSONDecodeError):
        fields = orjson.loads(body)
    named = fields.get("agent") if isinstance(fields, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] - any JSON
    agent = str(named) if isinstance(named, str) else garbage.text()
    for key in (f"card.{agent}", f"live.{agent}.r1", f"drained.{agent}", garbage.text()):
        for value in (body, None):
            with suppress(DecodeFailed):
                directory.hear(Entry(key=key, value=value, revision=1), samples.AT)
    directory.expire(samples.AT)
    directory.gone(samples.AT, after_seconds=1.0)
    assert all(view.name for view in directory.capable("echo"))


def history(body: bytes) -> None:
    """Events as they lie in the store, also of kinds that nobody knows; and how they are parked."""
    garbage = Garbage(Random(body))
    known = garbage.random.choice(_events())
    kind = garbage.random.choice((known.kind, known.kind, garbage.text()))
    try:
        recorded = unseal(known.stream_id, known.version, kind, body, 1)
    except UnreadableEvent as error:
        row = unreadable_row("runs", error)
    else:
        row = parked_row("runs", recorded, ValueError("x"))
    assert row.reason


def workflow_file(body: bytes) -> None:
    """A workflow in YAML: a definition, or problems with line and column."""
    definition, problems = check_text(body.decode("utf-8", "replace"), "fuzz.yaml")
    assert (definition is None) == bool(problems)
    assert all(problem.line for problem in problems)


def settings_file(body: bytes) -> None:
    """`dalsegno.toml`: settings, or an error that names the variable."""
    path = _folder() / "dalsegno.toml"
    path.write_bytes(body)
    before = Path.cwd()
    os.chdir(_folder())
    try:
        with suppress(SettingsError):
            read_settings(OrchestratorSettings)
    finally:
        os.chdir(before)


def claims(body: bytes) -> None:
    """Values that travel by reference, and what only looks like one."""
    kept = {CLAIM: _artifacts().put(body).model_dump()}
    with suppress(UsageError, ArtifactMissing):
        check_out(kept, _artifacts())
    try:
        value = _ANY.validate_json(body)  # as a message is read
    except ValidationError:
        return
    for tried in (value, {CLAIM: value}, [{CLAIM: value}]):
        has_claim(tried)
        with suppress(UsageError, ArtifactMissing):
            check_out(tried, _artifacts())


def dead_letter(body: bytes) -> None:
    """What lies in the stream of dead letters, and is shown to operators."""
    kept = Kept(subject="fuzz.dead.x", body=body, headers={}, sequence=1, stored_at=samples.AT)
    filed = dead_letters._filed(kept)  # pyright: ignore[reportPrivateUsage] - the decoder itself
    assert (filed.letter is None) == bool(filed.fault)
    assert orjson.dumps(filed.as_json(), default=str)
    dead_letters.cannot_retry(filed, samples.SUBJECTS)


def questions(body: bytes) -> None:
    """Every question to the projections is understood, or refused in words."""
    from dalsegno_projections import queries

    for query in QUERIES:
        with suppress(DecodeFailed):
            queries._question(query, body)  # pyright: ignore[reportPrivateUsage] - the decoder itself


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="dalsegno-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@cache
def _artifacts() -> ArtifactStore:
    return ArtifactStore("memory:///")


@cache
def _events() -> Sequence[Any]:
    return samples.events()


@cache
def _states() -> tuple[bytes, ...]:
    return tuple(event.state for event in _events())


_YAML: Final = orjson.dumps(samples.DOCUMENT)
_TOML: Final = (
    b'namespace = "a"\npartitions = 4\nhealth_port = 8080\nstore_url = "sqlite:///x.db"\n'
    b'batch_max = 100\nlog_level = "INFO"\n[agents.x]\nmodule = "m:a"\n'
)
_QUESTIONS: Final = (b'{"run_id":"01900000"}', b'{"limit":5,"offset":1}', b'{"after":1,"limit":3}',
                     b'{"status":["running"],"labels":{"a":"b"}}')  # fmt: skip

TARGETS: Final[Mapping[str, tuple[Target, Callable[[], Sequence[bytes]]]]] = {
    "codec": (codec, lambda: SAMPLES),
    "inbox decoder": (inbox, lambda: samples.bodies(samples.INBOX)),
    "bucket decoder": (bucket, lambda: samples.bodies(samples.BUCKET)),
    "stored events": (history, _states),
    "workflow file": (workflow_file, lambda: (_YAML,)),
    "settings file": (settings_file, lambda: (_TOML,)),
    "claims": (claims, lambda: (b'{"sha256":"%s","size_bytes":1}' % (b"a" * 64),)),
    "dead letters": (dead_letter, lambda: samples.bodies(samples.DEAD)),
    "questions": (questions, lambda: _QUESTIONS),
}
