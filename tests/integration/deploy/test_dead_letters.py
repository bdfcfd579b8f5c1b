"""`dalsegno dead` against a real server, and a retry through the orchestrator's normal path."""

import asyncio
import base64
import io
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import orjson
import pytest

from dalsegno.dead_letters import RETRY_BY, RETRY_OF, Filed, Wanted, find, retry
from dalsegno_bus import codec
from dalsegno_bus.bus import Bus, Outgoing
from dalsegno_bus.clock import utc_now
from dalsegno_bus.embedded import EmbeddedServer
from dalsegno_bus.ids import RunId
from dalsegno_bus.memory import MemoryBroker, MemoryBus
from dalsegno_bus.messages import DeadLetter, StartRun
from dalsegno_bus.nats import connect
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.topology import dead_letters, topology_of
from support.world import World, until
from tests.integration.deploy.conftest import Typed

RUN = RunId(UUID(int=4))
NOW = utc_now()
WAIT = {"only": {"wait": {"signal": "go"}}}

OnBus: TypeAlias = Callable[[Callable[[Bus], Coroutine[Any, Any, Any]]], Any]


def letter(subject: str, body: bytes, reason: str = "not JSON", **more: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "body_base64": base64.b64encode(body).decode(),
        "body_bytes": len(body),
        "headers": {"ce-id": "m1"},
        "at": NOW,
    }
    return DeadLetter(subject=subject, reason=reason, **(fields | more))


async def file(bus: Bus, subjects: Subjects, *letters: DeadLetter | bytes) -> None:
    """Put these where dead letters lie; bytes as they are."""
    await bus.provision(topology_of(subjects))
    for one in letters:
        body = one if isinstance(one, bytes) else codec.encode(one)
        await bus.store([Outgoing(subjects.dead("orchestrator"), body)])


@pytest.fixture
def subjects(
    nats_server: EmbeddedServer, namespace: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> Subjects:
    """What commands speak to that are typed here."""
    del typed  # it undoes what is set here
    monkeypatch.setenv("DALSEGNO_NATS_URL", nats_server.url)
    monkeypatch.setenv("DALSEGNO_NAMESPACE", namespace)
    return Subjects(namespace=namespace)


@pytest.fixture
def on_bus(nats_server: EmbeddedServer) -> OnBus:
    """Do something on a connection of its own."""

    def do(work: Callable[[Bus], Coroutine[Any, Any, Any]]) -> Any:
        async def connected() -> Any:
            bus = await connect(nats_server.url, name="test")
            try:
                return await work(bus)
            finally:
                await bus.close()

        return asyncio.run(connected())

    return do


@pytest.fixture
def filed(on_bus: OnBus, subjects: Subjects) -> Callable[..., None]:
    return lambda *letters: on_bus(lambda bus: file(bus, subjects, *letters))


def left(on_bus: OnBus, subjects: Subjects) -> list[int]:
    """The positions of the letters that are there, oldest first."""

    async def look(bus: Bus) -> list[int]:
        found, _ = await find(bus, subjects, Wanted(), limit=None)
        return sorted(one.number for one in found)

    return on_bus(look)


# --- looking ------------------------------------------------------------------------------------


def test_letters_are_listed_newest_first_with_position_origin_subject_and_reason(
    typed: Typed, subjects: Subjects, filed: Callable[..., None]
) -> None:
    filed(letter(subjects.request(RUN), b"{", "no JSON"), letter("x.y", b"\xff" * 2000, "alien"))
    code, out, _ = typed("dead", "list")
    assert code == 0
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].split()[0] == "2"
    assert "orchestrator" in lines[1]
    assert "2.0 KiB" in lines[1]
    assert "x.y: alien" in lines[1]


def test_a_list_is_narrowed_by_reason_subject_origin_and_time(
    typed: Typed, subjects: Subjects, filed: Callable[..., None]
) -> None:
    old = letter(subjects.request(RUN), b"{", "Too old", at=NOW - timedelta(days=3))
    filed(old, letter(subjects.report("analyst", RUN), b"{", "no run"))

    def numbers(*options: str) -> list[int]:
        code, out, _ = typed("dead", "list", "--json", *options)
        assert code == 0
        return [one["number"] for one in orjson.loads(out)["letters"]]

    assert numbers() == [2, 1]
    assert numbers("--reason", "too OLD") == [1]
    assert numbers("--subject", f"{subjects.namespace}.report.>") == [2]
    assert numbers("--origin", "orchestrator") == [2, 1]
    assert numbers("--origin", "agent-x") == []
    assert numbers("--since", "1d") == [2]
    assert numbers("--since", (NOW - timedelta(days=5)).isoformat()) == [2, 1]
    assert numbers("--limit", "1") == [2]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"kind":"start-run.v9"}', '  "kind": "start-run.v9"'),
        (
            "just wörds\x1b[31m".encode(),
            "00000000  6a 75 73 74 20 77 c3 b6 72 64 73 1b 5b 33 31 6d",
        ),
        (b"just words", "just words"),
        (b"\x00\xff" * 200, "00000000  00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff 00 ff"),
    ],
)
def test_a_letter_shows_its_message_as_json_text_or_digits(
    typed: Typed, filed: Callable[..., None], body: bytes, shown: str
) -> None:
    filed(letter("x.y", body, "odd"))
    code, out, _ = typed("dead", "show", "1")
    assert code == 0
    assert "reason    odd" in out.splitlines()
    assert "header    ce-id: m1" in out.splitlines()
    assert shown in out.splitlines()
    assert "\x1b" not in out


def test_what_is_no_letter_of_ours_is_listed_and_shown_too(
    typed: Typed, filed: Callable[..., None]
) -> None:
    filed(b"nonsense")
    assert "no dead letter of ours" in typed("dead", "list")[1]
    assert typed("dead", "show", "1")[1].splitlines()[-1] == "nonsense"
    code, _, said = typed("dead", "retry", "1")
    assert code == 1
    assert "nobody knows where it was sent" in said[-1]


def test_a_letter_that_is_not_there_is_told(typed: Typed, subjects: Subjects) -> None:
    del subjects
    code, out, said = typed("dead", "show", "9")
    assert (code, out) == (1, "")
    assert "there is no letter at 9" in said[-1]
    assert typed("dead", "drop", "9")[0] == 1


# --- changing -----------------------------------------------------------------------------------


def test_a_retry_sends_body_and_headers_as_they_were_and_takes_the_letter_away(
    typed: Typed, subjects: Subjects, filed: Callable[..., None], on_bus: OnBus
) -> None:
    filed(letter(subjects.request(RUN), b"{ as it was"))
    code, out, _ = typed("dead", "retry", "1", "--as", "ada")
    assert (code, out) == (0, "ada retried 1 letter\n")
    assert left(on_bus, subjects) == []
    inbox = topology_of(subjects).streams[0]
    kept = on_bus(lambda bus: bus.look(inbox, 1))
    assert (kept.subject, kept.body) == (subjects.request(RUN), b"{ as it was")
    assert dict(kept.headers) == {"ce-id": "m1", RETRY_OF: "1", RETRY_BY: "ada"}


def test_what_cannot_be_retried_stays_with_the_reason(
    typed: Typed, subjects: Subjects, filed: Callable[..., None], on_bus: OnBus
) -> None:
    cut = letter(subjects.request(RUN), b"{", body_bytes=90_000)
    filed(cut, letter("elsewhere.x", b"{"), letter(f"{subjects.namespace}.run.99.x", b"{"))
    code, out, _ = typed("dead", "retry", "1", "2", "3", "--json")
    assert code == 1
    told = {one["number"]: one for one in orjson.loads(out)["letters"]}
    assert "only 1 of its 90000 bytes were kept" in told[1]["reason"]
    assert "no stream takes messages on 'elsewhere.x'" in told[2]["reason"]
    assert "no stream takes messages on" in told[3]["reason"]
    assert left(on_bus, subjects) == [1, 2, 3]


def test_a_task_that_is_queued_already_is_not_queued_twice(
    typed: Typed, subjects: Subjects, filed: Callable[..., None], on_bus: OnBus
) -> None:
    task = subjects.task("analyst", RUN, "sum", 1)
    filed(letter(task, b"{}"))
    on_bus(lambda bus: bus.store([Outgoing(task, b"{}")]))
    code, _, said = typed("dead", "retry", "1")
    assert code == 1
    assert "this attempt is queued or running" in said[-1]
    assert left(on_bus, subjects) == [1]


def test_many_are_dropped_only_after_a_yes(
    typed: Typed,
    subjects: Subjects,
    filed: Callable[..., None],
    on_bus: OnBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    filed(*(letter("x.y", b"", reason) for reason in ("one", "two", "one")))
    code, _, said = typed("dead", "drop", "--reason", "one")
    assert code == 1
    assert "nothing was done" in said[-1]
    code, _, said = typed("dead", "drop", "--reason", "one")
    assert code == 2
    assert "give --yes" in said[-1]
    assert left(on_bus, subjects) == [1, 2, 3]
    code, out, _ = typed("dead", "drop", "--reason", "one", "--yes", "--as", "ada")
    assert (code, out) == (0, "ada dropped 2 letters\n")
    assert left(on_bus, subjects) == [2]
    assert typed("dead", "drop", "--all", "--yes")[0] == 0
    assert left(on_bus, subjects) == []
    assert typed("dead", "drop", "--all", "--yes")[0] == 0


@pytest.mark.parametrize("words", [(), ("1", "--all"), ("1", "--reason", "x")])
def test_which_letters_are_meant_has_to_be_clear(
    typed: Typed, subjects: Subjects, words: tuple[str, ...]
) -> None:
    del subjects
    code, _, said = typed("dead", "drop", *words)
    assert code == 2
    assert "give POSITIONs, a selection" in said[-1]


def test_a_time_that_is_none_is_told(typed: Typed) -> None:
    code, _, said = typed("dead", "list", "--since", "yesterday")
    assert code == 2
    assert "--since takes a duration" in said[-1]


# --- the normal path ----------------------------------------------------------------------------


@pytest.fixture
async def world(namespace: str, tmp_path: Path) -> World:
    broker = MemoryBroker()

    async def open_one() -> Bus:
        return MemoryBus(broker)

    return World(open_one, namespace, tmp_path, await open_one())


async def letters(world: World) -> list[Filed]:
    return (await find(world.bus, world.subjects, Wanted(), limit=None))[0]


async def until_filed(world: World, count: int) -> None:
    stream = dead_letters(world.subjects)
    async with asyncio.timeout(20):
        while (await world.bus.span(stream)).last < count:  # noqa: ASYNC110 - nothing rings
            await asyncio.sleep(0.01)


async def test_a_request_that_is_retried_is_decided_as_any_other(world: World) -> None:
    async with world.orchestrator():
        await world.register("waits", WAIT)
        request = StartRun(run_id=RUN, workflow="waits", requested_by="bo")
        await file(
            world.bus, world.subjects, letter(world.subjects.request(RUN), codec.encode(request))
        )
        [found] = await letters(world)
        for _ in range(2):  # the second is a copy: it changes nothing
            done = await retry(world.bus, world.subjects, found, requested_by="ada")
            assert done.outcome == "retried"
        await until(lambda: bool(world.history(RUN)))
        assert world.kinds(RUN).count("run-started") == 1
        assert await letters(world) == []


async def test_a_retry_that_fails_again_is_a_new_letter_that_says_so(world: World) -> None:
    async with world.orchestrator():
        await world.bus.store([Outgoing(world.subjects.request(RUN), b"{ no JSON")])
        await until_filed(world, 1)
        [found] = await letters(world)
        await retry(world.bus, world.subjects, found, requested_by="ada")
        await until_filed(world, 2)
        [again] = await letters(world)
        assert (again.number, again.retry_of) == (2, 1)
        assert again.as_json()["retried_by"] == "ada"
        assert again.body == b"{ no JSON"
