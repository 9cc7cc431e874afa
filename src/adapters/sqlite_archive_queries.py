"""What the archive of dead letters asks of SQLite. `{replays}` is where notes of what was put back lie."""

from typing import Any

from adapters.sqlite_schema import unpack_headers
from domain.dead_letter import REPLAY, DeadLetter, LetterFilter, LetterPlace
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason

REPLAYS = "log.replays"
# A log's file of an older Herald has no notes yet.
NO_REPLAYS = """(SELECT '' AS topic, '' AS group_name, 0 AS partition, 0 AS log_offset, 0.0 AS failed_at,
    0.0 AS replayed_at, '' AS replayed_by WHERE 0)"""

_COLUMNS = """one.topic, one.partition, one.log_offset, one.time, one.key, one.value, one.headers, one.reason,
    one.error, one.attempts, one.failed_at"""
# A letter may have been kept twice, and a source may have failed again: its last letter counts.
_IS_LAST = """NOT EXISTS (SELECT 1 FROM dead_letters AS other WHERE other.topic = one.topic
    AND other.partition = one.partition AND other.log_offset = one.log_offset
    AND (other.failed_at, other.id) > (one.failed_at, one.id))"""
_IS_REPLAYED = """EXISTS (SELECT 1 FROM {replays} AS replay WHERE replay.topic = one.topic
    AND replay.group_name = :group AND replay.partition = one.partition
    AND replay.log_offset = one.log_offset AND replay.failed_at >= one.failed_at)"""

FIND = f"""SELECT {_COLUMNS} FROM dead_letters AS one
    WHERE one.failed_at >= :since AND one.failed_at < :until
    AND (one.failed_at, one.topic, :group, one.partition, one.log_offset)
        > (:after_time, :after_topic, :after_group, :after_partition, :after_offset)
    AND (:reason = '' OR one.reason = :reason) AND (:key IS NULL OR one.key = :key)
    AND (:topics = '' OR instr(:topics, ',' || one.topic || ','))
    AND {_IS_LAST} AND (:replayed IS NULL OR :replayed = {_IS_REPLAYED})
    ORDER BY one.failed_at, one.topic, one.partition, one.log_offset LIMIT :limit"""  # noqa: S608 - ours
GET = f"""SELECT {_COLUMNS} FROM dead_letters AS one
    WHERE one.topic = :topic AND one.partition = :partition AND one.log_offset = :offset
    AND {_IS_LAST}"""  # noqa: S608 - ours
# Counts, in one pass over the table: what never came back by its reason alone, the others also by how often
# their source was put back and by the headers that tell how often their message was.
TALLY = f"""SELECT one.topic, one.reason, coalesce(noted.times, 0) AS times,
    CASE WHEN instr(one.headers, CAST('{REPLAY}' AS BLOB)) > 0 THEN one.headers END AS returned, count(*)
    FROM dead_letters AS one NOT INDEXED LEFT JOIN (
        SELECT topic, partition, log_offset, count(*) AS times, max(failed_at) AS latest
        FROM {{replays}} WHERE group_name = :group GROUP BY topic, partition, log_offset
    ) AS noted ON noted.topic = one.topic AND noted.partition = one.partition
        AND noted.log_offset = one.log_offset
    WHERE one.failed_at < :until AND (noted.latest IS NULL OR noted.latest < one.failed_at) AND {_IS_LAST}
    GROUP BY one.topic, one.reason, times, returned"""  # noqa: S608 - ours
REPLAYS_OF = """SELECT failed_at, replayed_at, replayed_by FROM {replays} WHERE topic = :topic
    AND group_name = :group AND partition = :partition AND log_offset = :offset"""

IS_NOTED = """SELECT 1 FROM replays WHERE topic = ? AND group_name = ? AND partition = ? AND log_offset = ?
    AND failed_at >= ?"""
NOTE = """INSERT INTO replays (topic, group_name, partition, log_offset, failed_at, replayed_at, replayed_by)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
NEW_RECORD = "INSERT INTO records (id, time, key, value, headers) VALUES (?, ?, ?, ?, ?)"

_BEFORE_ALL = LetterPlace(-1.0, "", "", 0, 0)


def arguments_of(group: str, wanted: LetterFilter, after: LetterPlace | None, limit: int) -> dict[str, Any]:
    """Of `FIND`."""
    place = after or _BEFORE_ALL
    return {
        "group": group,
        # The first condition lets SQLite begin at the place, and not only pass over what is before it.
        "since": max(wanted.since, place.failed_at),
        "until": wanted.until,
        "after_time": place.failed_at,
        "after_topic": place.topic,
        "after_group": place.group,
        "after_partition": place.partition,
        "after_offset": place.offset,
        "reason": wanted.reason,
        "key": wanted.key_bytes or None,
        "topics": f",{','.join(sorted(wanted.topics))}," if wanted.topics else "",
        "replayed": wanted.replayed,
        "limit": limit,
    }


def letter_of(group: str, row: Any) -> DeadLetter:
    topic, partition, offset, time, key, value, headers, reason, error, attempts, failed_at = row
    return DeadLetter(
        record=Record(Shard(topic, partition), offset, key, value, unpack_headers(headers), time),
        group=group,
        reason=DeadLetterReason(reason),
        error=error,
        attempts=attempts,
        failed_at=failed_at,
    )
