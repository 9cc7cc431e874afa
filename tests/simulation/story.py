"""A history told as it happens, for whoever looks for what went wrong."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar

from domain.dead_letter import DeadLetter
from domain.ledger import Deferral, LedgerRecord, Written
from domain.log import Position, Record, Shard
from domain.message import Message
from tests.simulation.history import History
from tests.simulation.process import Process
from tests.simulation.provider import Try
from tests.simulation.witness import Witness


class TellingWitness(Witness):
    """Says what it sees."""

    def tell(self, *words: object) -> None:
        sys.stdout.write(f"{self.now():11.3f} {' '.join(map(str, words))}\n")

    def appended(self, record: Record) -> None:
        self.tell("append", _place(record.shard, record.offset), record.key, record.value, record.headers)
        super().appended(record)

    def tries(self, process: Process, message: Message, *, probe: bool) -> Try:
        self.tell(
            process.name, "tries", message.request_id, message.message_body, "as a probe" if probe else ""
        )
        return super().tries(process, message, probe=probe)

    def killed(self, process: Process) -> None:
        self.tell(process.name, "dies")
        super().killed(process)

    def lost(self, process: Process, shards: AbstractSet[Shard]) -> None:
        self.tell(process.name, "loses", *sorted(shard.partition for shard in shards))
        super().lost(process, shards)

    def released(self, process: Process, shards: AbstractSet[Shard]) -> None:
        self.tell(process.name, "releases", *sorted(shard.partition for shard in shards))
        super().released(process, shards)

    def noted(self, process: Process, shard: Shard, written: Sequence[Written]) -> None:
        self.tell(process.name, "notes", shard.partition, *map(_note, written))
        super().noted(process, shard, written)

    def buried(self, process: Process, letter: DeadLetter) -> None:
        self.tell(process.name, "buries", _place(letter.record.shard, letter.record.offset), letter.reason)
        super().buried(process, letter)

    def committed(self, process: Process, before: Mapping[tuple[str, Shard], Position]) -> None:
        moved = {key[1].partition: at for key, at in self.broker.positions.items() if before.get(key) != at}
        for partition, position in sorted(moved.items()):
            self.tell(process.name, "commits", f"{partition}-{position.offset}", f"'{position.metadata}'")
        super().committed(process, before)


class ToldHistory(History):
    """Says what happens to it."""

    witness_type: ClassVar[type[Witness]] = TellingWitness

    async def happen(self, what: Callable[[], Awaitable[None]]) -> None:
        line = f"{self.clock.monotonic():11.3f} --- {getattr(what, '__name__', what)}"
        await super().happen(what)
        provider, trouble = self.provider, self.trouble
        moods = (provider.weights, "hangs" if provider.hanging else "", *sorted(provider.failing))
        troubles = (trouble.refused, trouble.lost, trouble.slow, *sorted(trouble.refuses))
        log = "away" if self.broker.down else "there"
        sys.stdout.write(f"{line}; provider {moods}, log {log} {troubles}\n")


def _place(shard: Shard, offset: int) -> str:
    return f"{shard.partition}-{offset}"


def _note(written: Written) -> str:
    note = written.note
    if isinstance(note, LedgerRecord):
        tries = f"{note.attempts} tries, {note.uncertain} lost"
        return f"[{written.position}: {note.offset} {note.request_id} {note.state}, {tries}, low {note.low}]"
    if isinstance(note, Deferral):
        tries = f"{note.attempts} tries, {note.uncertain} lost"
        return f"[{written.position}: put off {note.record.offset}, {tries}]"
    return f"[{written.position}: tombstone {note.offset}]"
