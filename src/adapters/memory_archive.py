"""The archive of dead letters in memory, for tests and simulations."""

import math
from collections.abc import Callable
from typing import Self

from adapters.letter_index import Found, LetterIndex, find_in
from adapters.memory_broker import MemoryBroker
from domain.dead_letter import (
    KeptLetter,
    LetterFilter,
    LetterPage,
    LetterPlace,
    LetterTally,
    Replay,
    kept_letter,
    parse_id,
    returned_headers,
)
from domain.errors import LogUnavailable
from domain.log import Record, ReturnedRecord, Unconfirmed


class MemoryDeadLetterArchive:
    """A `DeadLetterArchive` of the broker's `letters`."""

    def __init__(self, broker: MemoryBroker, request_id_of: Callable[[Record], str]) -> None:
        self._broker = broker
        self._request_id_of = request_id_of

    async def find(
        self, wanted: LetterFilter, *, after: LetterPlace | None = None, limit: int = 100
    ) -> LetterPage:
        self._broker.answer()
        found, following = find_in(self._indexes(), wanted, after, limit)
        return LetterPage([self._kept(one) for one in found], following)

    async def get(self, letter_id: str) -> KeptLetter | None:
        self._broker.answer()
        place = parse_id(letter_id)
        for index in self._indexes():
            if place and (index.topic, index.group) == (place.topic, place.group):
                found = index.get((place.partition, place.offset))
                return None if found is None else self._kept(found)
        return None

    async def tally(self, until: float = math.inf) -> list[LetterTally]:
        self._broker.answer()
        return sorted(tally for index in self._indexes() for tally in index.tally(until))

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        self._broker.answer()
        original = kept.letter.record
        headers = returned_headers(kept)
        answer = self._broker.append(ReturnedRecord(original.shard, original.key, original.value, headers))
        if isinstance(answer, Unconfirmed):
            raise LogUnavailable(answer.reason)
        replay = Replay(kept.letter.failed_at, self._broker.clock.now(), by)
        self._broker.replays.append((kept.place, replay))

    def _indexes(self) -> list[LetterIndex]:
        indexes: dict[tuple[str, str], LetterIndex] = {}
        for position, letter in enumerate(self._broker.letters):
            named = (letter.record.shard.topic, letter.group)
            indexes.setdefault(named, LetterIndex(*named)).add(letter, position)
        for place, replay in self._broker.replays:
            indexes[place.topic, place.group].note((place.partition, place.offset), replay)
        return list(indexes.values())

    def _kept(self, found: Found) -> KeptLetter:
        letter = self._broker.letters[found.position]
        return kept_letter(letter, self._request_id_of(letter.record), found.replays)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None
