"""Letters found in a log that can only be read."""

import tracemalloc

from adapters.letter_index import LetterIndex, find_in
from domain.dead_letter import DeadLetter, LetterFilter, LetterTally, Replay
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason

SHARD = Shard("transactions", 0)
EVERY = LetterFilter()
MANY = 20_000


def letter(offset: int, failed_at: float, size: int = 10) -> DeadLetter:
    return DeadLetter(
        record=Record(SHARD, offset, b"k-%d" % offset, b"x" * size, (), 0.0),
        group="email",
        reason=DeadLetterReason.REFUSED,
        error="550 no such user, and a long story besides",
        attempts=1,
        failed_at=failed_at,
    )


def offsets(index: LetterIndex, wanted: LetterFilter = EVERY) -> list[int]:
    return [found.place.offset for found in find_in([index], wanted, None, 1000)[0]]


def test_what_retention_took_is_forgotten_with_its_replays() -> None:
    index = LetterIndex("transactions", "email")
    for position in range(4):
        index.add(letter(position, float(position)), position)
        index.note((0, position), Replay(float(position), 9.0, "ada@ops"))
    index.forget(2)
    index.add(letter(0, 5.0), 4)

    assert offsets(index) == [2, 3, 0]
    assert offsets(index, LetterFilter(replayed=True)) == [2, 3]


def test_an_older_copy_that_comes_late_does_not_hide_the_newer_one() -> None:
    index = LetterIndex("transactions", "email")
    index.add(letter(1, 9.0), 0)
    index.add(letter(1, 5.0), 1)

    found = index.get((0, 1))
    assert found is not None
    assert (found.place.failed_at, found.position) == (9.0, 0)


def test_a_note_that_comes_before_its_letter_counts_all_the_same() -> None:
    index = LetterIndex("transactions", "email")
    index.note((0, 1), Replay(5.0, 9.0, "ada@ops"))
    index.add(letter(1, 5.0), 1)

    assert offsets(index, LetterFilter(replayed=False)) == []


def test_many_letters_take_little_memory_and_none_of_their_values() -> None:
    index = LetterIndex("transactions", "email")
    tracemalloc.start()
    for position in range(MANY):
        index.add(letter(position, float(position), size=10_000), position)
    found, following = find_in([index], EVERY, None, 100)
    last, end = find_in([index], EVERY, found[-1].place, MANY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (len(found), len(last), end) == (100, MANY - 100, None)
    assert following == found[-1].place
    # Two hundred megabytes of values went by.
    assert peak < 20_000_000


def test_letters_that_come_after_a_look_are_found_in_order_too() -> None:
    index = LetterIndex("transactions", "email")
    for offset, failed_at in ((1, 5.0), (2, 3.0)):
        index.add(letter(offset, failed_at), offset)
    before = offsets(index)
    for offset, failed_at in ((3, 4.0), (2, 9.0), (4, 1.0), (2, 9.0)):
        index.add(letter(offset, failed_at), offset + 10)

    assert (before, offsets(index)) == ([2, 1], [4, 3, 1, 2])


def test_what_is_forgotten_is_not_counted() -> None:
    index = LetterIndex("transactions", "email")
    for position in range(4):
        index.add(letter(position, float(position)), position)
    index.note((0, 3), Replay(3.0, 9.0, "ada@ops"))
    index.forget(2)

    assert index.tally(float("inf")) == [LetterTally("transactions", "email", "refused", 1, 0)]
    assert index.tally(2.0) == []


def test_a_replay_whose_letter_is_gone_is_not_counted() -> None:
    index = LetterIndex("transactions", "email")
    index.note((0, 3), Replay(3.0, 9.0, "ada@ops"))

    assert index.tally(float("inf")) == index.tally(1.0) == []
