"""What could not be delivered, as it is kept, looked for and put back."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.log import Headers, Record
from domain.message import REQUEST_ID as ID_FORM
from domain.outcome import DeadLetterReason

MOST_REPLAYS = 3
"""A message that was put back so often is parked: putting it back again is refused."""

# Any producer may write the header that counts replays, and Python takes no number of thousands of digits.
_MOST_DIGITS = 9

# Headers of a record that was put back into its topic.
FOR_GROUP = "herald-group"  # the one group that takes it; the others finish it silently
REPLAY = "herald-replay"  # the how manieth time
REQUEST_ID = "herald-request-id"  # holds before the one in the value


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """What could not be delivered: the original record, why, and after how many tries.

    `failed_at`: seconds since the epoch. `error` carries no address and no number.
    """

    record: Record
    group: str
    reason: DeadLetterReason
    error: str
    attempts: int
    failed_at: float


@dataclass(frozen=True, slots=True)
class Replay:
    """A letter was put back: by whom, and when, in epoch seconds.

    `failed_at` is the letter's own: where the same record fails anew, it is a letter that was not put back.
    """

    failed_at: float
    at: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLetter:
    """A dead letter in the archive. `replays`: how often its message was put back, counting earlier lives.

    `request_id` is the message's; of a record without one what stands for it. `replayed`: that this very
    letter was put back; None: it was not.
    """

    letter: DeadLetter
    request_id: str
    replays: int = 0
    replayed: Replay | None = None

    @property
    def id(self) -> str:
        return self.place.id

    @property
    def is_parked(self) -> bool:
        """Its message died too often to be put back again."""
        return self.replayed is None and self.replays >= MOST_REPLAYS

    @property
    def place(self) -> "LetterPlace":
        shard = self.letter.record.shard
        offset = self.letter.record.offset
        return LetterPlace(self.letter.failed_at, shard.topic, self.letter.group, shard.partition, offset)


@dataclass(frozen=True, slots=True, order=True)
class LetterPlace:
    """Where a letter stands among all others: by the time of failing, then by its source."""

    failed_at: float
    topic: str
    group: str
    partition: int
    offset: int

    @property
    def id(self) -> str:
        """`{topic}.{group}-{partition}-{offset}`: at most one letter has it."""
        return f"{self.topic}.{self.group}-{self.partition}-{self.offset}"

    def __str__(self) -> str:
        """What `parse_place` takes."""
        return f"{self.failed_at!r}~{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which letters are looked for; empty fields do not narrow.

    Times are those of failing, in epoch seconds: from `since` to before `until`.
    """

    group: str = ""
    topics: frozenset[str] = frozenset()
    reason: str = ""
    key: str = ""
    since: float = 0.0
    until: float = float("inf")
    replayed: bool | None = None  # only those that were put back, or only those that were not

    @property
    def key_bytes(self) -> bytes:
        """A key need be no text: bytes of an argument that are none come as lone surrogates."""
        return self.key.encode("utf-8", "surrogateescape")

    def looks_at(self, topic: str, group: str) -> bool:
        """Whether letters of this group and topic are looked for at all."""
        return self.group in {"", group} and (not self.topics or topic in self.topics)

    def takes(self, reason: str, key: bytes | None, failed_at: float, *, replayed: bool) -> bool:
        """Whether a letter of a group and topic that are looked at is meant."""
        return (
            self.reason in {"", reason}
            and (not self.key or key == self.key_bytes)
            and self.since <= failed_at < self.until
            and self.replayed in {None, replayed}
        )


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Letters, oldest failure first; `next` is what to give as `after` for more, or None."""

    letters: Sequence[KeptLetter]
    next: LetterPlace | None = None


@dataclass(frozen=True, slots=True, order=True)
class LetterTally:
    """How many letters of one topic, group and reason were not put back.

    `parked`: those whose message died too often to be put back. `waiting`: all others.
    """

    topic: str
    group: str
    reason: str
    waiting: int
    parked: int


def kept_letter(letter: DeadLetter, request_id: str, replays: Iterable[Replay]) -> KeptLetter:
    """The letter as the archive shows it. `replays`: all of its source; one may be noted twice."""
    noted = {replay.failed_at: replay for replay in replays}
    last = noted[max(noted)] if noted else None
    return KeptLetter(
        letter=letter,
        request_id=request_id,
        replays=replays_before(letter.record.headers) + len(noted),
        replayed=last if last is not None and last.failed_at >= letter.failed_at else None,
    )


def replays_before(headers: Headers) -> int:
    """How often the record had been put back when it came into the log."""
    given = next((value for name, value in headers if name == REPLAY), b"0")
    return int(given) if given.isdigit() and len(given) <= _MOST_DIGITS else 0


def returned_headers(kept: KeptLetter) -> Headers:
    """The original's headers, and what tells its group what it is. Those of an earlier time are replaced."""
    record = kept.letter.record
    ours = {
        FOR_GROUP: kept.letter.group,
        REPLAY: str(kept.replays + 1),
        REQUEST_ID: returned_id(kept),
    }
    original = tuple((name, value) for name, value in record.headers if name not in ours)
    return (*original, *((name, text.encode()) for name, text in ours.items()))


def returned_id(kept: KeptLetter) -> str:
    """Who took another's id would be taken for its repeat again: it gets the id of one that has none."""
    if kept.letter.reason is DeadLetterReason.REQUEST_ID_REUSED:
        return own_id(kept.letter.record)
    return kept.request_id


def given_id(record: Record) -> str | None:
    """What whoever put the record back says is its id; any producer may write such a header."""
    for name, value in record.headers:
        if name == REQUEST_ID:
            return value.decode("utf-8", "replace")
    return None


def id_without_message(record: Record) -> str:
    """The id of a record whose value tells none."""
    given = given_id(record)
    return given if given and _is_request_id(given) else own_id(record)


def own_id(record: Record) -> str:
    """The id of a record that has none."""
    return f"{record.shard.topic}-{record.shard.partition}-{record.offset}"


_NAME = "[A-Za-z0-9._-]{1,249}"  # a topic's (Kafka's rule)
_ID = rf"({_NAME})\.([A-Za-z0-9_-]{{1,100}})-([0-9]{{1,9}})-([0-9]{{1,18}})"
PLACE = rf"^([0-9]{{1,12}}(?:\.[0-9]{{1,12}})?)~{_ID}\Z"
"""What `str` of a place gives."""
LETTER_ID = rf"^{_ID}\Z"
"""A letter's id."""

_is_request_id = re.compile(ID_FORM).match
_is_id = re.compile(rf"{_ID}\Z").match
_is_place = re.compile(PLACE).match


def parse_id(letter_id: str) -> LetterPlace | None:
    """The place of a letter's id, without its time; None where it cannot be one."""
    match = _is_id(letter_id)
    return None if match is None else LetterPlace(0.0, match[1], match[2], int(match[3]), int(match[4]))


def parse_place(text: str) -> LetterPlace | None:
    """What `str` of a place gives; None where it is not of that form."""
    match = _is_place(text)
    if match is None:
        return None
    return LetterPlace(float(match[1]), match[2], match[3], int(match[4]), int(match[5]))
