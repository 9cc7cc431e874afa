"""Dead letters and notes of replays as Kafka records, and back.

A letter is the original with Herald's headers after its own. A note has no value either way, as a letter may
have none too: the two are told apart by their last header.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.dead_letter import DeadLetter, KeptLetter, Replay
from domain.log import Headers, Record, Shard
from domain.outcome import DeadLetterReason
from domain.topic import dead_letter_topic

REPLAYED = "herald-replayed"  # the last header of a note: when
REPLAYED_BY = "herald-replayed-by"
TOPIC, PARTITION, OFFSET = "herald-topic", "herald-partition", "herald-offset"
REASON, ERROR, ATTEMPTS, FAILED_AT = "herald-reason", "herald-error", "herald-attempts", "herald-failed-at"

_OF_LETTERS = (REASON, ERROR, ATTEMPTS, TOPIC, PARTITION, OFFSET, FAILED_AT)
_OF_NOTES = (TOPIC, PARTITION, OFFSET, FAILED_AT, REPLAYED_BY, REPLAYED)


@dataclass(frozen=True, slots=True)
class LetterRecord:
    """A letter or a note on its way: unlike a message's record its value may be null."""

    shard: Shard
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class ReplayNote:
    """A replay of the letter from this partition and offset."""

    partition: int
    offset: int
    replay: Replay


def record_of_letter(letter: DeadLetter) -> LetterRecord:
    record = letter.record
    return LetterRecord(_shard(letter), record.key, record.value, letter_headers(letter))


def record_of_note(kept: KeptLetter, replay: Replay) -> LetterRecord:
    source = _source(kept.letter)
    told = {**source, REPLAYED_BY: replay.by, REPLAYED: _time(replay.at)}
    return LetterRecord(_shard(kept.letter), None, None, _headers(told))


def letter_headers(letter: DeadLetter) -> Headers:
    """The original headers, then Herald's own, all UTF-8 text; the time is RFC 3339 in UTC."""
    added = {
        REASON: letter.reason.value,
        ERROR: letter.error,
        ATTEMPTS: str(letter.attempts),
        **_source(letter),
    }
    return (*letter.record.headers, *_headers(added))


def read_letter(record: Record, group: str) -> DeadLetter | ReplayNote | None:
    """What stands in a record of a group's dead-letter topic; None: nothing of Herald's.

    The letter's original has the time at which the letter was kept.
    """
    try:
        if record.headers[-1:] and record.headers[-1][0] == REPLAYED:
            return _note(_told(record, _OF_NOTES))
        return _letter(record, group, _told(record, _OF_LETTERS))
    except (ValueError, KeyError):
        return None


def _told(record: Record, names: tuple[str, ...]) -> dict[str, str]:
    """Our headers stand at the end. An original one may have such a name too."""
    ours = record.headers[-len(names) :]
    if tuple(name for name, _ in ours) != names:
        raise ValueError
    return {name: value.decode() for name, value in ours}


def _letter(record: Record, group: str, told: dict[str, str]) -> DeadLetter:
    return DeadLetter(
        record=Record(
            Shard(told[TOPIC], int(told[PARTITION])),
            int(told[OFFSET]),
            record.key,
            record.value,
            record.headers[: -len(_OF_LETTERS)],
            record.timestamp,
        ),
        group=group,
        reason=DeadLetterReason(told[REASON]),
        error=told[ERROR],
        attempts=int(told[ATTEMPTS]),
        failed_at=_seconds(told[FAILED_AT]),
    )


def _note(told: dict[str, str]) -> ReplayNote:
    replay = Replay(_seconds(told[FAILED_AT]), _seconds(told[REPLAYED]), told[REPLAYED_BY])
    return ReplayNote(int(told[PARTITION]), int(told[OFFSET]), replay)


def _shard(letter: DeadLetter) -> Shard:
    return Shard(dead_letter_topic(letter.record.shard.topic, letter.group), 0)


def _source(letter: DeadLetter) -> dict[str, str]:
    shard = letter.record.shard
    return {
        TOPIC: shard.topic,
        PARTITION: str(shard.partition),
        OFFSET: str(letter.record.offset),
        FAILED_AT: _time(letter.failed_at),
    }


def _headers(told: dict[str, str]) -> Headers:
    return tuple((name, text.encode("utf-8", "replace")) for name, text in told.items())


def _time(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
