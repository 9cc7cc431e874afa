from hypothesis import given
from hypothesis.strategies import DataObject, booleans, data, integers

from adapters.kafka_put_off import PutOffSoFar
from domain.lag import PutOff
from domain.ledger import Deferral, Tombstone, Written
from domain.log import Bounds, Record, Shard

SHARD = Shard("transactions", 0)


def put(position: int, offset: int, time: float) -> Written:
    return Written(position, Deferral(record=Record(SHARD, offset, None, b"{}", (), time)))


def look(so_far: PutOffSoFar, bounds: Bounds, since: int, *notes: Written) -> tuple[int, PutOff]:
    """Where reading began, and what came of it."""
    first = so_far.begin(bounds, since).first
    so_far.take(notes)
    return first, so_far.end(bounds)


def test_a_second_look_begins_where_the_first_ended() -> None:
    so_far = PutOffSoFar()

    assert look(so_far, Bounds(0, 2), 0, put(0, 7, 5.0), put(1, 8, 4.0)) == (0, PutOff(2, 4.0))
    assert look(so_far, Bounds(0, 3), 0, Written(2, Tombstone(8))) == (2, PutOff(1, 5.0))


def test_what_compaction_took_at_the_end_is_not_asked_for_again() -> None:
    so_far = PutOffSoFar()
    look(so_far, Bounds(0, 9), 0, put(0, 7, 5.0))

    assert look(so_far, Bounds(0, 9), 0) == (9, PutOff(1, 5.0))


def test_a_look_that_broke_off_goes_on_where_it_was() -> None:
    so_far = PutOffSoFar()
    so_far.begin(Bounds(0, 9), 0)
    so_far.take([put(0, 7, 5.0), put(3, 8, 4.0)])

    assert look(so_far, Bounds(0, 9), 0) == (4, PutOff(2, 4.0))


def test_what_stands_before_the_position_asked_for_does_not_count_any_more() -> None:
    so_far = PutOffSoFar()
    look(so_far, Bounds(0, 2), 0, put(0, 7, 5.0), put(1, 8, 6.0))

    assert look(so_far, Bounds(0, 2), 1) == (2, PutOff(1, 6.0))


def test_a_position_further_back_than_before_means_reading_anew() -> None:
    so_far = PutOffSoFar()
    look(so_far, Bounds(0, 9), 5, put(5, 7, 5.0))

    assert look(so_far, Bounds(0, 9), 2, put(2, 6, 1.0), put(5, 7, 5.0)) == (2, PutOff(2, 1.0))


def test_a_topic_that_was_made_anew_is_read_anew() -> None:
    so_far = PutOffSoFar()
    look(so_far, Bounds(0, 9), 0, put(5, 7, 5.0))

    assert look(so_far, Bounds(0, 1), 0, put(0, 1, 9.0)) == (0, PutOff(1, 9.0))


def test_where_more_was_deleted_than_was_read_it_is_read_anew() -> None:
    so_far = PutOffSoFar()
    look(so_far, Bounds(0, 2), 0, put(0, 7, 5.0))

    assert look(so_far, Bounds(5, 6), 0, put(5, 9, 8.0)) == (5, PutOff(1, 8.0))


def test_one_that_is_put_off_again_counts_from_its_newest_place_on_and_keeps_its_age() -> None:
    so_far = PutOffSoFar()
    look(so_far, Bounds(0, 3), 0, put(0, 7, 5.0), put(1, 8, 6.0), put(2, 7, 5.0))

    assert look(so_far, Bounds(0, 3), 2) == (3, PutOff(1, 5.0))


@given(data())
def test_look_by_look_it_comes_to_the_same_as_all_of_it_at_once(drawn: DataObject) -> None:
    so_far, since = PutOffSoFar(), 0
    notes: list[Written] = []
    for _ in range(drawn.draw(integers(1, 6))):
        begun = len(notes)
        for position in range(begun, begun + drawn.draw(integers(0, 12))):
            offset = drawn.draw(integers(0, 5))
            is_put = drawn.draw(booleans())
            # A message's own time does not change.
            notes.append(
                put(position, offset, 10.0 - offset % 3) if is_put else Written(position, Tombstone(offset))
            )
        since = drawn.draw(integers(since, len(notes)))
        end = Bounds(0, len(notes))

        first = so_far.begin(end, since).first
        so_far.take(notes[first:])
        found = so_far.end(end)

        assert found == look(PutOffSoFar(), end, since, *notes[since:])[1]
