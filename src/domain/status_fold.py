"""What became of a message, folded from the log's record of it and from what its groups noted.

One request_id may stand for several records of a shard: repeats, another message under the same id, one that
ended badly and was sent again, one that was put back for one group. Folded by offset they are one story.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from domain.dead_letter import LetterPlace
from domain.discard import DISCARDED
from domain.ledger import LedgerRecord, State
from domain.log import Shard
from domain.outcome import DeadLetterReason
from domain.partitioning import partition_of_request
from domain.status import (
    DeliveryState,
    DeliveryStatus,
    GroupNotes,
    MessageStatus,
    Sighting,
    StoryEvent,
    StoryStep,
)
from domain.topic import Topic

# Of a record that a group tries again and again so many of the first tries and of the newest are told: how
# its trouble began and how it stands. The numbers of those between are seen to be missing.
FIRST_TRIES = 5
NEWEST_TRIES = 15

_MAY_COME_AGAIN = frozenset({DeliveryState.DEAD, DeliveryState.EXPIRED, DeliveryState.SKIPPED})


@dataclass(frozen=True, slots=True)
class _Turn:
    """A record that changed how the message stands with a group."""

    sighting: Sighting
    status: DeliveryStatus


def notes_of(records: Iterable[LedgerRecord], deferred: Mapping[int, float], passed: int) -> GroupNotes:
    """Of a group's ledger records of one id in one shard, in the order of their positions."""
    entries = list(records)
    tries: dict[int, list[LedgerRecord]] = {}
    for record in entries:
        if not record.state.is_end:
            tries.setdefault(record.offset, []).append(record)
    told = {offset: tries_told(some) for offset, some in tries.items()}
    return GroupNotes(records=newest_notes(entries), tries=told, deferred=deferred, passed=passed)


def newest_notes(records: Iterable[LedgerRecord]) -> dict[int, LedgerRecord]:
    """By offset. Records come in the order of their positions; an end is never taken back."""
    newest: dict[int, LedgerRecord] = {}
    for record in records:
        known = newest.get(record.offset)
        if known is None or record.state.is_end or not known.state.is_end:
            newest[record.offset] = record
    return newest


def tries_told(records: Iterable[LedgerRecord]) -> list[LedgerRecord]:
    """Of one offset's open notes those that are told, each once: one may have been written twice."""
    tries = sorted({_number(record): record for record in records}.items())
    newest = tries[-1][0][0] if tries else 0
    return [
        record for (number, *_), record in tries if number <= FIRST_TRIES or number > newest - NEWEST_TRIES
    ]


def _number(record: LedgerRecord) -> tuple[int, float, int]:
    """The how manieth try it was, as far as the group knew; two processes may have counted the same."""
    return (record.attempts + record.uncertain, record.at, record.uncertain)


def fold_status(
    sightings: Sequence[Sighting], groups: Mapping[str, GroupNotes], as_of: float
) -> MessageStatus:
    """The story of one id in one shard; at least one sighting.

    The first record is the message. A group that was never meant to have it is left out.
    """
    in_order = sorted(sightings, key=lambda sighting: sighting.offset)
    first = in_order[0]
    turns = {group: list(_turns(group, in_order, notes)) for group, notes in groups.items()}
    return MessageStatus(
        request_id=first.request_id,
        topic_name=first.shard.topic,
        partition=first.shard.partition,
        offset=first.offset,
        accepted_at=first.accepted_at,
        deliveries={group: some[-1].status for group, some in turns.items() if some},
        as_of=as_of,
        story=_story(first, turns, groups),
    )


def _turns(group: str, sightings: Sequence[Sighting], notes: GroupNotes) -> Iterator[_Turn]:
    status: DeliveryStatus | None = None
    for sighting in sightings:
        if sighting.for_group not in ("", group):
            continue
        after = _after(status, group, sighting, notes)
        if after is not None and after is not status:
            yield _Turn(sighting, after)
        status = after


def _after(
    status: DeliveryStatus | None, group: str, sighting: Sighting, notes: GroupNotes
) -> DeliveryStatus | None:
    record = notes.records.get(sighting.offset)
    if record is not None:
        return status if status is not None and _is_of_another(record, status) else _noted(record)
    if status is not None and status.state not in _MAY_COME_AGAIN:
        return status  # a repeat: it is passed over
    if group in sighting.channels and sighting.offset in notes.deferred:
        return _standing(DeliveryState.RETRYING, sighting)
    if group in sighting.channels and sighting.offset >= notes.passed:
        return _standing(DeliveryState.ACCEPTED, sighting)
    # Passed over without a word: it has no address here, or it is from before the group began.
    return status or _standing(DeliveryState.SKIPPED, sighting)


def _standing(state: DeliveryState, sighting: Sighting) -> DeliveryStatus:
    return DeliveryStatus(state=state, updated_at=sighting.accepted_at)


def _is_of_another(record: LedgerRecord, status: DeliveryStatus) -> bool:
    """Whether it is another message under the same id; what was said of the first one stays."""
    if record.state is State.DEAD:
        return record.reason == DeadLetterReason.REQUEST_ID_REUSED
    return record.reason == DISCARDED and status.state not in _MAY_COME_AGAIN


def _noted(record: LedgerRecord) -> DeliveryStatus:
    return DeliveryStatus(
        state=DeliveryState(record.state.value),
        attempts=record.attempts + (record.state is State.SENT),  # the ledger counts the failed ones
        uncertain_attempts=record.uncertain,
        reason=record.reason,
        updated_at=record.at,
        provider_id=record.provider_id,
    )


# The steps ------------------------------------------------------------------------------------


def _story(
    first: Sighting, turns: Mapping[str, Sequence[_Turn]], groups: Mapping[str, GroupNotes]
) -> list[StoryStep]:
    """A group's steps stay in the order in which it noted them, though its processes' clocks may differ."""
    chains = [_chain(group, some, groups[group]) for group, some in turns.items()]
    taken = {first.offset: first}
    for turn in chain.from_iterable(turns.values()):
        taken[turn.sighting.offset] = turn.sighting
    accepted = [
        (one.accepted_at, StoryStep(at=one.accepted_at, event=StoryEvent.ACCEPTED))
        for one in taken.values()
        if not one.for_group
    ]
    return [step for _, step in sorted(chain(accepted, *chains), key=lambda timed: timed[0])]


def _chain(group: str, turns: Sequence[_Turn], notes: GroupNotes) -> Iterator[tuple[float, StoryStep]]:
    latest = 0.0
    for turn in turns:
        latest = max(latest, turn.sighting.accepted_at)
        for step in _steps(group, turn, notes):
            latest = max(latest, step.at)
            yield latest, step


def _steps(group: str, turn: _Turn, notes: GroupNotes) -> Iterator[StoryStep]:
    sighting, status = turn.sighting, turn.status
    if sighting.for_group:
        yield StoryStep(at=sighting.accepted_at, group=group, event=StoryEvent.REPLAYED)
    latest = sighting.accepted_at
    for record in notes.tries.get(sighting.offset, ()):
        latest = record.at
        yield _step(group, _noted(record))
    if status.state in (DeliveryState.RETRYING, DeliveryState.UNCERTAIN):
        if (due := notes.deferred.get(sighting.offset)) is not None:
            # Nothing says when it was put off; that is done after a try, or behind another one that is.
            yield StoryStep(at=latest, group=group, event=StoryEvent.DEFERRED, due=due)
    elif status.state is DeliveryState.DEAD:
        yield _step(group, status, _letter_id(group, sighting))
    elif status.state is not DeliveryState.ACCEPTED:
        yield _step(group, status)


def _step(group: str, status: DeliveryStatus, dead_letter: str = "") -> StoryStep:
    return StoryStep(
        at=status.updated_at,
        group=group,
        event=StoryEvent(status.state.value),
        attempts=status.attempts,
        uncertain_attempts=status.uncertain_attempts,
        reason=status.reason,
        provider_id=status.provider_id,
        dead_letter=dead_letter,
    )


def _letter_id(group: str, sighting: Sighting) -> str:
    shard = sighting.shard
    return LetterPlace(0.0, shard.topic, group, shard.partition, sighting.offset).id


# Where to look --------------------------------------------------------------------------------


def newest_of(found: Iterable[MessageStatus]) -> MessageStatus | None:
    """Of several shards' messages of one id, the one that was accepted last."""
    return max(found, key=lambda status: status.accepted_at, default=None)


def likely_shards(request_id: str, topics: Iterable[Topic]) -> list[Shard]:
    """Where it is if it has neither a key nor a partition of its own."""
    return [Shard(topic.name, partition_of_request(request_id, topic.partitions)) for topic in topics]
