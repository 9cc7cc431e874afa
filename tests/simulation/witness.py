"""Sees every record, try, note, letter and commit of a history, and writes down what must not be.

It judges by what the log really has, never by what an engine believes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from adapters.memory import MemoryBroker
from adapters.message_json import decode_record
from domain.dead_letter import FOR_GROUP, DeadLetter
from domain.discard import DISCARDED, Discard
from domain.ledger import Deferral, LedgerRecord, State, Tombstone, Written
from domain.log import NewRecord, Position, Receipt, Record, ReturnedRecord, Shard, Unconfirmed
from domain.message import Message, parse_time
from domain.outcome import DeadLetterReason, Outcome, Uncertain
from domain.retry import RetryPolicy
from tests.simulation.provider import Content, Provider, Try

if TYPE_CHECKING:
    from tests.simulation.process import Process

GROUP = "email"
ROUNDING = 1e-3


@dataclass(eq=False, slots=True)
class Entry:
    """A record that was once in the log, as this group has to see it."""

    shard: Shard
    offset: int
    key: str | None
    content: Content
    at: float
    message: Message | None  # None: cannot be decoded
    is_ours: bool
    expires: float | None = None
    is_invalid: bool = False
    is_replay: bool = False


@dataclass(eq=False, slots=True)
class Seen:
    """A note in the ledger, with who wrote it."""

    process: "Process"
    position: int
    record: LedgerRecord
    at: float


def is_taken(order: Discard, entry: Entry) -> bool:
    return entry.offset < order.upto.get(entry.shard.partition, 0) and entry.at < order.before


class WitnessedBroker(MemoryBroker):
    """Tells the witness what came into the log, also if nobody was told that it did."""

    witness: "Witness"

    def append(self, record: NewRecord | ReturnedRecord) -> Receipt | Unconfirmed:
        answer = super().append(record)
        end = self.bounds(record.shard).end
        self.witness.appended(self.read(record.shard, end - 1, 1)[0])
        return answer


@dataclass
class Witness:
    """What happened, indexed as the promises ask for it; `broken` holds what was seen to go wrong at once."""

    broker: MemoryBroker
    provider: Provider
    policy: RetryPolicy
    concurrency: int
    window: int
    random: Random
    entries: dict[Shard, dict[int, Entry]] = field(default_factory=lambda: defaultdict(dict))
    by_content: dict[Content, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    by_id: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[Shard, dict[int, list[Seen]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    ends: dict[Shard, dict[int, Seen]] = field(default_factory=lambda: defaultdict(dict))
    sent_positions: dict[Shard, list[int]] = field(default_factory=lambda: defaultdict(list))
    deferred: dict[Shard, dict[int, tuple[int, Deferral]]] = field(default_factory=lambda: defaultdict(dict))
    letters: list[DeadLetter] = field(default_factory=list)
    buried_contents: set[Content] = field(default_factory=set)
    discarded_contents: set[Content] = field(default_factory=set)
    broken: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    orders: list[Discard] = field(default_factory=list)  # all that were ever given to this group
    has_orders: bool = False  # whether this history has any
    is_blind: bool = False  # the topic is another one by now
    _checked: dict[Shard, int] = field(default_factory=lambda: defaultdict(int))
    _open_tries: dict["Process", list[Try]] = field(default_factory=lambda: defaultdict(list))

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    # The log ----------------------------------------------------------------------------------

    def appended(self, record: Record) -> None:
        if self.is_blind:
            return
        read = decode_record(record)
        message = read if isinstance(read, Message) else None
        ours = all(value == GROUP.encode() for name, value in record.headers if name == FOR_GROUP)
        expires = parse_time(message.expires_at) if message and message.expires_at else None
        entry = Entry(
            shard=record.shard,
            offset=record.offset,
            key=record.key.decode() if record.key is not None else None,
            content=(message.request_id, message.message_body or "") if message else ("", str(record.offset)),
            at=record.timestamp,
            message=message,
            is_ours=ours and (message is None or message.email is not None),
            expires=expires.timestamp() if expires else None,
            is_invalid=message is not None and message.email == "wrong",
            is_replay=any(name == FOR_GROUP for name, _ in record.headers),
        )
        self.entries[record.shard][record.offset] = entry
        self.by_content[entry.content].append(entry)
        self.by_id[entry.content[0]].append(entry)

    # A process --------------------------------------------------------------------------------

    def asked(self, process: "Process", kind: str) -> None:
        if process.must_be_silent and kind in {"write", "commit", "keep"}:
            self.broken["a process that stood still too long writes and sends nothing"].append(
                f"{process.name}: {kind}"
            )

    def tries(self, process: "Process", message: Message, *, probe: bool) -> Try:
        attempt = self.provider.begin(process, message)
        if self.is_blind:
            return attempt
        if process.must_be_silent:
            self.broken["a process that stood still too long writes and sends nothing"].append(
                f"{process.name}: sends {message.request_id}"
            )
        self._look_at_try(process, attempt)
        opened = self._open_tries[process] = [old for old in self._open_tries[process] if not old.recorded]
        opened.append(attempt)
        if sum(old.answered is None and not old.cut for old in opened) > self.concurrency:
            self.broken["no more are in flight than may be"].append(f"{process.name} at {self.now()}")
        return attempt

    def _look_at_try(self, process: "Process", attempt: Try) -> None:
        entries = [entry for entry in self.by_content[attempt.content] if entry.is_ours]
        what = f"{attempt.content} by {process.name} at {self.now():.3f}"
        ends = {entry: self._known_end(process, entry) for entry in entries}
        if all(ends.values()):
            self.broken["what has ended is never sent again"].append(what)
        elif any(end and self._is_in_window(process, entry.shard, end) for entry, end in ends.items()):
            self.broken["the same request is delivered once"].append(what)
        open_ones = [entry for entry, end in ends.items() if not end]
        if open_ones and all(self._must_leave(process, entry) for entry in open_ones):
            self.broken["what is ordered to be discarded is not sent"].append(what)
        if self._other_is_sent(process, attempt.content):
            self.broken["another message of a known id becomes a dead letter"].append(what)
        for entry in entries:
            if not ends[entry] and (self._is_in_the_log(entry) or entry.offset in self.deferred[entry.shard]):
                self._look_at_wait(process, entry, what)
        now = self.provider.now()
        if entries and all(
            entry.expires is not None and now >= entry.expires + ROUNDING for entry in entries
        ):
            self.broken["nothing is sent after its time"].append(what)

    def _must_leave(self, process: "Process", entry: Entry) -> bool:
        """Whether an order takes it that the process has read, or that was there when it began the shard."""
        known = (*process.orders, *process.bound_by.get(entry.shard, ()))
        return any(is_taken(order, entry) for order in known)

    def _look_at_wait(self, process: "Process", entry: Entry, what: str) -> None:
        notes = [
            seen for seen in self.notes[entry.shard][entry.offset] if self._is_known(process, entry, seen)
        ]
        if notes and notes[-1].record.state is State.UNCERTAIN:
            record = notes[-1].record
            if self.policy.is_too_uncertain(record.uncertain):
                self.broken["a lost answer is asked again only so often"].append(what)
            elif record.at + self.policy.uncertain_wait(record.uncertain) > self.provider.now() + ROUNDING:
                self.broken["a lost answer is waited for before it is sent again"].append(what)

    def _is_known(self, process: "Process", entry: Entry, seen: Seen) -> bool:
        return seen.process is process or seen.position < process.seen.get(entry.shard, 0)

    def _known_end(self, process: "Process", entry: Entry) -> Seen | None:
        end = self.ends[entry.shard].get(entry.offset)
        return end if end is not None and self._is_known(process, entry, end) else None

    def _is_in_window(self, process: "Process", shard: Shard, end: Seen) -> bool:
        """Whether the process must remember it: as many were sent after it as it may have forgotten."""
        if end.record.state is not State.SENT:
            return False
        later = sum(position > end.position for position in self.sent_positions[shard])
        return later < self.window and end.position >= self.broker.ledgers[GROUP, shard].bounds.first

    def _other_is_sent(self, process: "Process", content: Content) -> bool:
        """Whether only another message of this id was there first, and was sent."""
        entries = [entry for entry in self.by_id[content[0]] if entry.is_ours]
        mine = min(entry.offset for entry in entries if entry.content == content)
        others = [entry for entry in entries if entry.content != content and entry.offset < mine]
        ends = [(entry, self._known_end(process, entry)) for entry in others]
        return any(end and self._is_in_window(process, entry.shard, end) for entry, end in ends)

    def cut_off(self, attempt: Try, loses_cancels: float) -> Outcome:
        """Nobody waits for the answer any more: whether the customer got it is anybody's guess."""
        attempt.cut = True
        if attempt.outcome is None:
            attempt.accepted = self.provider.chance(attempt.content, "cut") < 0.5
        if not attempt.process.is_dead and self.random.random() < loses_cancels:
            attempt.outcome, attempt.answered, attempt.cut = Uncertain("lost"), self.now(), False
            return Uncertain("lost")
        raise asyncio.CancelledError

    def killed(self, process: "Process") -> None:
        if self.is_blind:
            return
        open_tries = [attempt for attempt in self._open_tries[process] if not attempt.recorded]
        if sum(self._may_be_repeated(attempt) for attempt in open_tries) > 2 * self.concurrency:
            self.broken["a kill repeats at most twice the concurrency"].append(
                f"{process.name}: {len(open_tries)}"
            )
        self._excuse(process, None, "killed")

    def _may_be_repeated(self, attempt: Try) -> bool:
        """Whether the customer may get it again when its process dies now."""
        return not attempt.cut and not attempt.excuse and (attempt.answered is None or attempt.accepted)

    def lost(self, process: "Process", shards: AbstractSet[Shard]) -> None:
        self._excuse(process, shards, "lost")

    def released(self, process: "Process", shards: AbstractSet[Shard]) -> None:
        """What was answered in time must be noted by now, but where the ledger could not be written."""
        if self.is_blind:
            return
        for attempt in self._open_tries[process]:
            if attempt.answered is not None and process.trouble.last >= attempt.answered - 10.0:
                attempt.excuse = attempt.excuse or "no ledger"

    def _excuse(self, process: "Process", shards: AbstractSet[Shard] | None, why: str) -> None:
        for attempt in self._open_tries[process]:
            here = {entry.shard for entry in self.by_content[attempt.content]}
            if not attempt.recorded and (shards is None or here & shards):
                attempt.excuse = attempt.excuse or why

    # What it writes ---------------------------------------------------------------------------

    def noted(self, process: "Process", shard: Shard, written: Sequence[Written]) -> None:
        if self.is_blind:
            return
        for one in written:
            note = one.note
            if isinstance(note, LedgerRecord):
                self._on_record(process, shard, one.position, note)
            elif isinstance(note, Deferral):
                self._look_at_tries(process, shard, note.record.offset, note.attempts, note.uncertain)
                self.deferred[shard][note.record.offset] = (one.position, note)
            else:
                self._on_tombstone(process, shard, note)

    def _on_record(self, process: "Process", shard: Shard, position: int, record: LedgerRecord) -> None:
        self._look_at_tries(process, shard, record.offset, record.attempts, record.uncertain)
        seen = Seen(process, position, record, self.now())
        self.notes[shard][record.offset].append(seen)
        for attempt in self._open_tries[process]:
            if attempt.content[0] == record.request_id and (attempt.answered is not None or attempt.cut):
                attempt.recorded = True
        if not record.state.is_end:
            return
        self._look_at_order(shard, record)
        entry = self.entries[shard].get(record.offset)
        earlier = self.ends[shard].get(record.offset)
        if (
            earlier is not None
            and entry is not None
            and earlier.record.state is not record.state
            and self._is_known(process, entry, earlier)
        ):
            self.broken["no message has two ends"].append(f"{record} after {earlier.record}")
        if earlier is None:
            self.ends[shard][record.offset] = seen
        if record.state is State.SENT:
            self.sent_positions[shard].append(position)

    def _look_at_order(self, shard: Shard, record: LedgerRecord) -> None:
        """What ends by an order must be taken by one; its time may be over as well."""
        if record.reason != DISCARDED:
            return
        entry = self.entries[shard][record.offset]
        self.discarded_contents.add(entry.content)
        if record.state is not State.EXPIRED or not any(is_taken(order, entry) for order in self.orders):
            self.broken["nothing else is discarded"].append(f"{record} at {self.now():.3f}")

    def unfinished_of(self, order: Discard) -> list[Entry]:
        """What the order takes and has not ended."""
        return [
            entry
            for entries in self.entries.values()
            for entry in entries.values()
            if entry.is_ours
            and is_taken(order, entry)
            and self._is_in_the_log(entry)
            and not self._has_ended(entry)
        ]

    def _has_ended(self, entry: Entry) -> bool:
        return entry.offset in self.ends[entry.shard] or self.was_repeat(entry)

    def _on_tombstone(self, process: "Process", shard: Shard, note: Tombstone) -> None:
        self.deferred[shard].pop(note.offset, None)
        position = self.broker.positions.get((GROUP, shard))
        if position is not None and note.offset < position.offset:
            self._look_at_safety(process, shard, note.offset)

    def _look_at_tries(
        self, process: "Process", shard: Shard, offset: int, attempts: int, uncertain: int
    ) -> None:
        entry = self.entries[shard].get(offset)
        if entry is None:
            return
        tries = self.provider.by_content.get(entry.content, ())
        what = f"{entry.content} at {self.now():.3f} by {process.name}"
        if attempts > sum(attempt.costs_an_attempt for attempt in tries):
            self.broken["an outage spends no attempt"].append(what)
        if uncertain > sum(attempt.cut or isinstance(attempt.outcome, Uncertain) for attempt in tries):
            self.broken["only a lost answer counts as one"].append(what)
        # Of its own ones a copy may come later: a batch whose answer was lost is written again.
        notes = [seen for seen in self.notes[shard][offset] if seen.process is not process]
        known = [seen.record for seen in notes if self._is_known(process, entry, seen)]
        if any(record.attempts > attempts or record.uncertain > uncertain for record in known):
            self.broken["tries are not forgotten"].append(what)

    def buried(self, process: "Process", letter: DeadLetter) -> None:
        if self.is_blind:
            return
        self.letters.append(letter)
        entry = self.entries[letter.record.shard][letter.record.offset]
        self.buried_contents.add(entry.content)
        tries = self.provider.by_content.get(entry.content, ())
        lost = sum(attempt.cut or isinstance(attempt.outcome, Uncertain) for attempt in tries)
        cost = sum(attempt.costs_an_attempt for attempt in tries)
        gave_up = (letter.reason is DeadLetterReason.UNCERTAIN and lost <= self.policy.max_uncertain) or (
            letter.reason is DeadLetterReason.TOO_MANY_ATTEMPTS and cost < self.policy.max_attempts
        )
        if gave_up:
            self.broken["nobody gives up before the last try"].append(f"{letter.reason} {entry.content}")

    def committed(self, process: "Process", before: Mapping[tuple[str, Shard], Position]) -> None:
        if self.is_blind:
            return
        for (group, shard), position in self.broker.positions.items():
            if before.get((group, shard)) != position:
                if process.log is None or shard not in process.log.held:
                    self.broken["only who holds a partition commits it"].append(f"{process.name} {shard}")
                for offset in range(self._checked[shard], position.offset):
                    self._look_at_safety(process, shard, offset)
                self._checked[shard] = max(self._checked[shard], position.offset)

    def _look_at_safety(self, process: "Process", shard: Shard, offset: int) -> None:
        entry = self.entries[shard].get(offset)
        if entry is None or not entry.is_ours or not self._is_in_the_log(entry):
            return
        if not self._is_safe(entry):
            self.broken["the position never passes what is neither ended nor kept apart"].append(
                f"{shard.partition}-{offset} {entry.content} by {process.name} at {self.now():.3f}"
            )

    def _is_in_the_log(self, entry: Entry) -> bool:
        return entry.offset >= self.broker.bounds(entry.shard).first

    def _is_safe(self, entry: Entry) -> bool:
        return entry.offset in self.deferred[entry.shard] or self._has_ended(entry)

    def was_repeat(self, entry: Entry) -> bool:
        """Whether an earlier copy speaks for it: one that had not ended without success before it came."""
        earlier = [
            e for e in self.by_content[entry.content] if e.shard == entry.shard and e.offset < entry.offset
        ]
        ends = [self.ends[entry.shard].get(copy.offset) for copy in earlier if copy.is_ours]
        return any(
            end is None or end.record.state is State.SENT or end.record.at >= entry.at - ROUNDING
            for end in ends
        )
