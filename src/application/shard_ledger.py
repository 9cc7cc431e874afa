"""What a group's own notes say about one shard: who ended, who is open, what must be read again."""

from dataclasses import dataclass
from typing import NamedTuple

from application.sent_window import SentWindow
from domain.ledger import Deferral, LedgerRecord, Places, State, Written


class Ended(NamedTuple):
    """A message that was finished, and where the ledger has that."""

    position: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A deferral, and its latest place."""

    position: int
    deferral: Deferral


class ShardLedger:
    """Notes folded in the order of their positions, whoever wrote them.

    It outlives this process's hold on the shard: a shard that comes back is read on from `next`.
    """

    __slots__ = (
        "_ended",
        "_next_deferred",
        "_next_ledger",
        "_tried",
        "deferred",
        "deferred_bytes",
        "forgotten_below",
        "highest_deferred",
        "newest",
        "window",
    )

    def __init__(self, window_size: int) -> None:
        self._next_ledger = self._next_deferred = 0
        self.window = SentWindow(window_size)
        self.newest: LedgerRecord | None = None
        self.forgotten_below = 0  # of the messages below this offset only some are known
        self.deferred: dict[int, Kept] = {}
        self.deferred_bytes = 0
        self.highest_deferred = -1
        self._ended: dict[int, Ended] = {}
        self._tried: dict[int, tuple[int, LedgerRecord]] = {}

    @property
    def next(self) -> Places:
        """Behind all that is folded."""
        return Places(self._next_ledger, self._next_deferred)

    def fold(self, written: Written) -> None:
        position, note = written
        if isinstance(note, LedgerRecord):
            self._next_ledger = max(self._next_ledger, position + 1)
            self._fold_record(position, note)
            return
        self._next_deferred = max(self._next_deferred, position + 1)
        if isinstance(note, Deferral):
            self._keep(position, note)
        else:
            self._drop(note.offset)

    def reach(self, places: Places) -> None:
        """Nothing more stands before these places."""
        self._next_ledger = max(self._next_ledger, places.ledger)
        self._next_deferred = max(self._next_deferred, places.deferred)

    # Asked by the skip rule -------------------------------------------------------------------

    def has_ended(self, offset: int, request_id: str) -> bool:
        """Whether this very message, and not another one at its offset, was finished."""
        ended = self._ended.get(offset)
        return ended is not None and ended.request_id == request_id

    def ends_at(self, offset: int) -> bool:
        """Whether the message at this offset was finished, while that still has to be known."""
        return offset in self._ended

    def sent_digest(self, request_id: str) -> int | None:
        """The digest of the value that was sent under this id within the window."""
        return self.window.digest(request_id)

    def tries_not_carried(self, offset: int, request_id: str) -> LedgerRecord | None:
        """How far an unfinished message had come, where its deferral does not say so or it has none."""
        _, record = self._tried.get(offset, (0, None))
        if record is None or record.request_id != request_id or self._is_carried(record):
            return None
        return record

    # Asked by the commit ----------------------------------------------------------------------

    def needed_from(self, commit: int) -> Places:
        """From where the notes must be read again by whoever begins the shard at this commit."""
        pins = [
            e.position for offset, e in self._ended.items() if offset >= commit or offset in self.deferred
        ]
        pins += [position for position, record in self._tried.values() if not self._is_carried(record)]
        if (oldest := self.window.oldest) is not None:
            pins.append(oldest)
        return Places(
            min(pins, default=self.next.ledger),
            min((kept.position for kept in self.deferred.values()), default=self.next.deferred),
        )

    def forget_below(self, commit: int) -> None:
        """The commit is safe: nobody reads below it again. What waits for its tombstone stays."""
        self.forgotten_below = max(self.forgotten_below, commit)
        deferred = self.deferred
        self._ended = {o: ended for o, ended in self._ended.items() if o >= commit or o in deferred}
        self._tried = {o: tried for o, tried in self._tried.items() if o >= commit or o in deferred}

    def _fold_record(self, position: int, record: LedgerRecord) -> None:
        self.newest = record
        if not record.state.is_end:
            if not self.has_ended(record.offset, record.request_id):
                self._tried[record.offset] = (position, record)
            return
        self._tried.pop(record.offset, None)
        self._ended[record.offset] = Ended(position, record.request_id)
        if record.state is State.SENT:
            self.window.add(record.request_id, record.digest, position, record.at)

    def _is_carried(self, record: LedgerRecord) -> bool:
        kept = self.deferred.get(record.offset)
        return kept is not None and (
            (kept.deferral.attempts, kept.deferral.uncertain) >= (record.attempts, record.uncertain)
        )

    def _keep(self, position: int, deferral: Deferral) -> None:
        offset = deferral.record.offset
        self._drop(offset)
        self.deferred[offset] = Kept(position, deferral)
        self.deferred_bytes += deferral.record.size
        self.highest_deferred = max(self.highest_deferred, offset)

    def _drop(self, offset: int) -> None:
        kept = self.deferred.pop(offset, None)
        if kept is not None:
            self.deferred_bytes -= kept.deferral.record.size
