"""What Herald promises, each checked over a whole history. A promise's answer names what broke it."""

from collections.abc import Callable, Mapping, Sequence

from domain.ledger import State
from tests.simulation.history import History
from tests.simulation.witness import Entry

Promise = Callable[[History], Sequence[str]]


def _entries(history: History) -> list[Entry]:
    return [e for entries in history.witness.entries.values() for e in entries.values() if e.is_ours]


def nothing_is_lost(history: History) -> list[str]:
    """Every message is sent, dead, expired, a repeat of one that is, or deleted unread and counted."""
    lost = [entry for entry in _entries(history) if not _is_accounted_for(history, entry)]
    overtaken = [e for e in lost if e.offset < history.firsts[e.shard]]
    counted = sum(sum(counts.overtaken.values()) for counts in history.counts)
    missing = [
        f"{shard.partition}-{offset} was confirmed and never came"
        for shard, offset, value in history.confirmed
        if (e := history.witness.entries[shard].get(offset)) is None or not _has_value(history, e, value)
    ]
    missing += [f"{e.shard.partition}-{e.offset} {e.content}" for e in lost if e not in overtaken]
    if len(overtaken) > counted and not history.has_forgotten:
        missing.append(f"{len(overtaken)} were deleted unread, {counted} counted")
    return missing


def _has_value(history: History, entry: Entry, value: bytes) -> bool:
    return entry.content[0].encode() in value


def _is_accounted_for(history: History, entry: Entry) -> bool:
    if entry.is_replay or entry.message is None or entry.is_invalid:
        return entry.offset in history.witness.ends[entry.shard] or history.witness.was_repeat(entry)
    if history.provider.accepted(entry.content) or entry.content in history.witness.buried_contents:
        return True
    ends = [
        history.witness.ends[entry.shard].get(e.offset) for e in history.witness.by_content[entry.content]
    ]
    return any(end is not None and end.record.state is State.EXPIRED for end in ends)


def first_deliveries_of_a_key_are_in_the_logs_order(history: History) -> list[str]:
    """What was a dead letter or discarded at some time ended there; sent again, it comes later.

    Left out are messages of which several records tell something else: copies under other keys, other
    content under the same id, and those that retention may have deleted unread.
    """
    wrong = []
    for shard, entries in history.witness.entries.items():
        for key in {entry.key for entry in entries.values()} - {None}:
            firsts = _first_deliveries(history, [e for e in entries.values() if e.key == key and e.is_ours])
            if firsts != sorted(firsts, key=lambda first: first[1]):
                wrong.append(f"{shard.partition} {key}: {firsts}")
    return wrong


def _first_deliveries(history: History, entries: Sequence[Entry]) -> list[tuple[float, int, str]]:
    firsts: dict[str, tuple[float, int, str]] = {}
    for entry in entries:
        accepted = history.provider.accepted(entry.content)
        if accepted and _has_one_place(history, entry):
            firsts.setdefault(entry.content[0], (accepted[0].at, entry.offset, entry.content[0]))
    return sorted(firsts.values(), key=lambda first: first[0])


def _has_one_place(history: History, entry: Entry) -> bool:
    same_id = history.witness.by_id[entry.content[0]]
    return (
        {(e.key, e.content) for e in same_id} == {(entry.key, entry.content)}
        and same_id[0].offset >= history.firsts[entry.shard]
        and entry.content not in history.witness.buried_contents | history.witness.discarded_contents
    )


def repeats_come_only_where_an_answer_was_lost(history: History) -> list[str]:
    return [
        f"{attempt.content} by {attempt.process.name} at {attempt.at:.3f}"
        for tries in history.provider.by_content.values()
        for attempt in [t for t in tries if t.accepted][:-1]
        if attempt.answered is not None and not attempt.recorded and not attempt.excuse
    ]


def every_message_ends_on_record(history: History) -> list[str]:
    """Its status can be told: the ledger has its end, once the history is over."""
    return [
        f"{e.shard.partition}-{e.offset} {e.content}"
        for e in _entries(history)
        if e.offset not in history.witness.ends[e.shard]
        and not history.witness.was_repeat(e)
        and e.offset >= history.firsts[e.shard]
    ]


def what_fails_for_long_holds_no_position(history: History) -> Sequence[str]:
    return history.held_back


def what_is_discarded_waits_for_no_channel(history: History) -> Sequence[str]:
    return history.undiscarded


def a_topic_made_anew_is_not_taken_for_the_old_one(history: History) -> Sequence[str]:
    return history.anew


def what_may_be_sent_waits_for_nobody(history: History) -> Sequence[str]:
    return history.idle


def no_process_gets_stuck_or_ends_by_itself(history: History) -> Sequence[str]:
    return history.stuck


def in_the_end_all_is_committed_and_nothing_is_put_off(history: History) -> list[str]:
    return [*map(str, history.leftovers)]


def broken_promises(history: History) -> Mapping[str, Sequence[str]]:
    """The name of each promise that did not hold, with what shows it."""
    found: dict[str, Sequence[str]] = dict(history.witness.broken)
    for promise in PROMISES:
        if broken := promise(history):
            found[promise.__name__.replace("_", " ")] = broken
    return found


PROMISES: Sequence[Promise] = (
    nothing_is_lost,
    first_deliveries_of_a_key_are_in_the_logs_order,
    repeats_come_only_where_an_answer_was_lost,
    every_message_ends_on_record,
    what_fails_for_long_holds_no_position,
    what_is_discarded_waits_for_no_channel,
    a_topic_made_anew_is_not_taken_for_the_old_one,
    what_may_be_sent_waits_for_nobody,
    no_process_gets_stuck_or_ends_by_itself,
    in_the_end_all_is_committed_and_nothing_is_put_off,
)
