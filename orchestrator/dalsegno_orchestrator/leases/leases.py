"""The lease of one orchestrator, and the partitions it owns by it, in a bucket that all share.

Each orchestrator keeps a key `member.<name>` alive, which expires without it, and changes the keys
`partition.<number>` from one revision only, so that of two who claim a partition one gets it. A
lease counts on our own clock, and for less time than on the server's: who was stopped, or cut off,
knows that it owns nothing before anybody else takes it. It decides nothing about runs.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from dalsegno_bus.bus import Bus, Entry
from dalsegno_bus.errors import BusError, SettingsError, Unavailable
from dalsegno_bus.ids import new_message_id
from dalsegno_bus.logs import log
from dalsegno_bus.subjects import Subjects
from dalsegno_bus.waiting import entered
from dalsegno_orchestrator.leases.records import (
    Member,
    Ownership,
    encoded,
    member_of,
    ownership_of,
)
from dalsegno_orchestrator.leases.share import share

_logger = logging.getLogger("dalsegno.orchestrator")

RENEW_SHARE: Final = 0.3
"""A lease is renewed when so much of its time is over."""
MARGIN_SHARE: Final = 0.2
"""So much of its time a lease counts less here than on the server."""
RETRY_SECONDS: Final = 0.1
_MEMBER: Final = "member."
_PARTITION: Final = "partition."


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of a partition; revision 0: its key is gone, and this stood there last."""

    ownership: Ownership
    revision: int


AWAY: Final = (BusError, SettingsError, Unavailable)
"""What a bucket raises while the servers are away, or are just coming back."""


class Leases:
    """What this orchestrator owns. `keep` keeps it alive; `claim` and `leave` change it.

    Args:
        name: Of this orchestrator; a later one with the same name takes its place.
        lease_seconds: How long the others wait for one that says nothing (1 or more).
        now: The clock (UTC): it orders those with one name, and measures nothing.
        wake: Called when `review` may say something else than before.
        address: Where to find this process, for people.
    """

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        *,
        name: str,
        lease_seconds: int,
        now: Callable[[], datetime],
        wake: Callable[[], None],
        address: str = "",
    ) -> None:
        self.name = name
        self._bucket = bus.bucket(subjects.leases_bucket)
        self._count = subjects.partitions
        self._seconds = lease_seconds
        self._now = now
        self._wake = wake
        self._me = Member(incarnation=new_message_id(), since=now(), address=address)
        self._revision = 0
        self._loop = asyncio.get_running_loop()
        self._until = 0.0
        """When the lease ends, on the loop's clock."""
        self._lenient_until = 0.0
        """Till then, who is not there is taken to be coming back: the servers lost the keys."""
        self._members: dict[str, Member] = {}
        self._missing: dict[str, Member] = {}
        self._seen: dict[int, _Seen] = {}
        self._owned: dict[int, _Seen] = {}
        self._doubtful: set[int] = set()
        """Owned, and something else was seen that may be older or newer: to be claimed anew."""
        self._rival: str | None = None
        self._term = 0
        self._is_leaving = False
        self.known = asyncio.Event()
        """Set once this one is a member, and knows who else is."""

    # --- what it owns -------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        """Whether the last renewal is young enough to go by."""
        return self._loop.time() < self._until

    @property
    def term(self) -> int | None:
        """Another number after each time that the lease had run out; None: it has."""
        return self._term if self.is_alive else None

    def holds(self, partition: int) -> bool:
        """Whether runs of this partition may be decided on here, now."""
        return partition in self._owned and self.is_alive

    def owned(self) -> list[int]:
        """The partitions that were claimed and not lost; `holds` says whether they count."""
        return sorted(self._owned)

    def epochs(self) -> dict[int, int]:
        """The epoch of each partition that is owned."""
        return {number: self._owned[number].ownership.epoch for number in self.owned()}

    def problem(self) -> str | None:
        """Why it cannot work now, in words; None: it can."""
        if self._rival is not None:
            return (
                f"a later orchestrator has the name {self.name!r} too and took its place; "
                "give each its own (DALSEGNO_ORCHESTRATOR_NAME)"
            )
        return None if self.is_alive else "its lease has run out; is NATS there?"

    # --- keeping it alive ---------------------------------------------------------------------

    async def keep(self) -> None:
        """Be a member, and watch the others, until cancelled."""
        async with asyncio.TaskGroup() as group:
            listed = asyncio.Event()
            group.create_task(self._watch(listed))
            await listed.wait()
            group.create_task(self._renew_always())

    async def _watch(self, listed: asyncio.Event) -> None:
        async with entered("the leases", self._bucket.watch) as entries:
            async for entry in entries:
                if entry is None:
                    listed.set()
                elif entry.key.startswith(_MEMBER):
                    self._note_member(entry.key.removeprefix(_MEMBER), entry)
                elif entry.key.startswith(_PARTITION):
                    self._note_partition(entry)
                self._wake()

    async def _renew_always(self) -> None:
        while not self._is_leaving:
            began = self._loop.time()
            pause = RENEW_SHARE * self._seconds
            try:
                async with asyncio.timeout(self._seconds):
                    confirmed = await self._renew()
            except (*AWAY, TimeoutError) as error:
                log(_logger, "info", "lease_not_renewed", reason=str(error) or repr(error))
                confirmed = False
            if confirmed:
                self._confirm(began)
            elif self._rival is None:
                pause = RETRY_SECONDS
            await asyncio.sleep(pause)

    def _confirm(self, began: float) -> None:
        """The server had our key at `began` or later: the lease counts from there."""
        was_alive = self.is_alive
        self._until = began + (1 - MARGIN_SHARE) * self._seconds
        if not was_alive:
            # Others may have owned what was ours: it has to be claimed, and loaded, anew.
            self._owned.clear()
            self._term += 1
            if self.known.is_set():
                self._lenient_until = self._loop.time() + self._seconds
            self._wake()
        self.known.set()

    async def _renew(self) -> bool:
        """Write our key once more; False: a later one has our name."""
        key, value = f"{_MEMBER}{self.name}", encoded(self._me)
        if self._revision:
            revision = await self._bucket.update(
                key, value, self._revision, ttl_seconds=self._seconds
            )
            if revision is not None:
                self._revision = revision
                return True
        entry = await self._bucket.get(key)
        there = None if entry is None else member_of(entry)
        if there is not None and there.incarnation != self._me.incarnation:
            if self._revision or self._rival is not None:  # it came after us
                self._step_aside(there)
                return False
            # We come after it: also where its clock is ahead of ours.
            since = max(self._me.since, there.since + timedelta(microseconds=1))
            self._me = self._me.model_copy(update={"since": since})
        elif there is None and self._rival is not None:
            # It is gone again. We come back as one that was never here.
            self._rival = None
            self._me = self._me.model_copy(
                update={"incarnation": new_message_id(), "since": self._now()}
            )
        value = encoded(self._me)
        if entry is None:
            revision = await self._bucket.create(key, value, ttl_seconds=self._seconds)
        else:
            revision = await self._bucket.update(
                key, value, entry.revision, ttl_seconds=self._seconds
            )
        if revision is None:
            return False  # somebody was quicker; look again with the next renewal
        self._revision = revision
        return True

    def _step_aside(self, rival: Member) -> None:
        if self._rival != rival.incarnation:
            log(_logger, "error", "name_taken", name=self.name, address=rival.address)
        self._rival = rival.incarnation
        self._revision = 0
        self._until = 0.0
        self._owned.clear()
        self._wake()

    # --- what the others do -------------------------------------------------------------------

    def _note_member(self, name: str, entry: Entry) -> None:
        member = member_of(entry)
        if member is not None:
            self._members[name] = member
            self._missing.pop(name, None)
            if (
                name == self.name
                and member.incarnation != self._me.incarnation
                and self._revision
                and entry.revision > self._revision
            ):
                self._step_aside(member)
            return
        gone = self._members.pop(name, None)
        if name == self.name and self._revision and not self._is_leaving:
            # Our key is gone though we live: the servers lost it, and the others' as well.
            self._lenient_until = self._loop.time() + self._seconds
        elif gone is not None:
            self._missing[name] = gone

    def _note_partition(self, entry: Entry) -> None:
        suffix = entry.key.removeprefix(_PARTITION)
        if not suffix.isdecimal():
            return
        number = int(suffix)
        if entry.value is None:
            known = self._seen.get(number)
            if known is not None:
                self._seen[number] = _Seen(known.ownership, 0)
            return
        there = ownership_of(entry)
        if there is None:
            return
        self._seen[number] = _Seen(there, entry.revision)
        mine = self._owned.get(number)
        if mine is not None and not there.is_same(mine.ownership):
            if entry.revision > mine.revision:
                log(_logger, "warning", "partition_taken", partition=number, owner=there.owner)
                del self._owned[number]
            else:  # seen late, or revisions count from 1 again
                self._doubtful.add(number)

    # --- who should own what ------------------------------------------------------------------

    def _there(self) -> set[str]:
        """Who shares: members, and those who are likely to come back."""
        there = {*self._members, self.name}
        if self._loop.time() < self._lenient_until:
            there.update(self._missing)
        return there

    def _shared(self) -> set[int]:
        """The partitions that should be ours."""
        owners = {
            number: seen.ownership.owner
            for number, seen in self._seen.items()
            if seen.ownership.owner is not None
        }
        owners.update(dict.fromkeys(self._owned, self.name))
        shared = share(self._count, self._there(), owners)
        return {number for number, name in shared.items() if name == self.name}

    def surplus(self) -> set[int]:
        """What is owned and should be somebody else's: finish what is in hand, then `leave` it."""
        return set(self._owned) - self._shared() if self._owned else set()

    def wanted(self) -> list[int]:
        """What may be claimed: ours to have, and nobody's or nobody's any more.

        Also what stands under our name and is not ours to have, as after the lease ran out: who
        does not own it cannot `leave` it, and nobody else may take it while we are there.
        """
        if not self.is_alive or self._is_leaving:
            return []
        there, shared = self._there(), self._shared()
        found: list[int] = []
        for number in range(self._count):
            seen = self._seen.get(number)
            owner = None if seen is None else seen.ownership.owner
            if number in self._owned:
                is_lost = seen is not None and not seen.revision  # by the servers
                if is_lost or number in self._doubtful:
                    found.append(number)
            elif owner == self.name or (
                number in shared and (owner not in there or self._is_old(seen))
            ):
                found.append(number)
        return found

    def _is_old(self, seen: _Seen | None) -> bool:
        """Whether a process owned it that another one with the same name has replaced."""
        if seen is None or seen.ownership.owner is None:
            return False
        member = self._members.get(seen.ownership.owner)
        return member is not None and member.incarnation != seen.ownership.incarnation

    async def claim(self, numbers: Collection[int]) -> set[int]:
        """Claim partitions; return those that are ours now and were not before.

        Raises:
            BusError, SettingsError, Unavailable: The servers are away; claim again later.
        """
        new: set[int] = set()
        for number in numbers:
            mine = self._owned.get(number)
            won = await self._claim(number, mine)
            self._doubtful.discard(number)
            if mine is None and won:
                new.add(number)
            elif mine is not None and not won:
                self._owned.pop(number, None)
        return new & set(self._owned)

    async def _claim(self, number: int, mine: _Seen | None) -> bool:
        seen = self._seen.get(number)
        epoch, known = 1, 0
        if seen is not None:
            epoch, known = seen.ownership.epoch + 1, seen.revision
        if mine is not None:
            epoch, known = mine.ownership.epoch, known and mine.revision
        incarnation = self._me.incarnation
        ownership = Ownership(owner=self.name, incarnation=incarnation, epoch=epoch)
        key, value = f"{_PARTITION}{number}", encoded(ownership)
        if known:
            revision = await self._bucket.update(key, value, known)
        else:
            revision = await self._bucket.create(key, value)
        if revision is None or not self.is_alive or incarnation != self._me.incarnation:
            return False
        self._owned[number] = _Seen(ownership, revision)
        noted = self._seen.get(number)
        if noted is None or noted.revision in {known, 0}:
            self._seen[number] = self._owned[number]
        return True

    async def leave(self, numbers: Collection[int]) -> None:
        """Give partitions up, once nothing of them is in hand: others may claim them at once.

        Raises:
            BusError, SettingsError, Unavailable: The servers are away; leave the rest later.
        """
        for number in numbers:
            mine = self._owned.get(number)
            if mine is None:  # taken by somebody else, perhaps while another one was given up
                continue
            free = mine.ownership.model_copy(update={"owner": None})
            key, value = f"{_PARTITION}{number}", encoded(free)
            revision = await self._bucket.update(key, value, mine.revision)
            if revision is None:  # the servers may have lost it: nobody else would say it is free
                revision = await self._bucket.create(key, value)
            self._owned.pop(number, None)
            if revision is not None:
                self._seen[number] = _Seen(free, revision)

    async def resign(self) -> None:
        """Give everything up and be no member any more; call it last.

        Raises:
            BusError, SettingsError, Unavailable: The servers are away; the lease runs out.
        """
        self._is_leaving = True
        self._until = 0.0
        key = f"{_MEMBER}{self.name}"
        entry = await self._bucket.get(key)
        there = None if entry is None else member_of(entry)
        if entry is not None and there is not None and there.incarnation == self._me.incarnation:
            # Before the partitions, or the others would leave us our share.
            await self._bucket.delete(key, revision=entry.revision)
        await self.leave(self.owned())
