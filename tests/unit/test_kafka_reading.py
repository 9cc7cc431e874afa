"""What is read from Kafka, kept and handed out."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from adapters.kafka_reading import Readings, record_of
from domain.log import Fetched, Overtaken, Record, Shard

ONE, TWO = Shard("transactions", 1), Shard("transactions", 2)
P1, P2 = TopicPartition("transactions", 1), TopicPartition("transactions", 2)


def kafka_record(offset: int) -> Any:
    headers = (("a", b"1"), ("empty", None))
    return SimpleNamespace(offset=offset, key=None, value=b"v", headers=headers, timestamp=1500)


def offsets(event: object) -> list[tuple[int, int]]:
    assert isinstance(event, Fetched)
    return [(record.shard.partition, record.offset) for record in event.records]


def begun(*shards: Shard, offset: int = 5) -> Readings:
    readings = Readings()
    for shard in shards:
        readings.begin(shard, offset)
    return readings


def test_a_record_is_told_in_our_words() -> None:
    assert record_of(ONE, kafka_record(7)) == Record(ONE, 7, None, b"v", (("a", b"1"), ("empty", b"")), 1.5)


def test_only_shards_that_are_begun_and_wanted_are_polled() -> None:
    readings = begun(ONE)

    assert readings.to_poll({ONE, TWO}).keys() == {P1}
    assert readings.to_poll({TWO}) == {}


def test_records_are_handed_out_once_in_order_and_up_to_the_limit() -> None:
    readings = begun(ONE)
    readings.accept(readings.to_poll({ONE}), {P1: [kafka_record(n) for n in (5, 6, 9)]})

    assert offsets(readings.next_event({ONE}, 2)) == [(1, 5), (1, 6)]
    assert offsets(readings.next_event({ONE}, 2)) == [(1, 9)]
    assert readings.next_event({ONE}, 2) is None
    assert readings.offsets() == {ONE: 10}


def test_what_is_not_wanted_now_waits() -> None:
    readings = begun(ONE, TWO)
    readings.accept(readings.to_poll({ONE, TWO}), {P1: [kafka_record(5)], P2: [kafka_record(5)]})

    assert offsets(readings.next_event({TWO}, 10)) == [(2, 5)]
    assert offsets(readings.next_event({ONE}, 10)) == [(1, 5)]


def test_an_answer_from_before_a_new_begin_is_dropped() -> None:
    readings = begun(ONE)
    polled = readings.to_poll({ONE})
    readings.begin(ONE, 3)
    readings.accept(polled, {P1: [kafka_record(5)]})

    assert readings.next_event({ONE}, 10) is None
    assert readings.offsets() == {ONE: 3}


def test_an_answer_for_a_shard_that_was_taken_away_is_dropped() -> None:
    readings = begun(ONE)
    polled = readings.to_poll({ONE})
    readings.clear()
    readings.accept(polled, {P1: [kafka_record(5)]})

    assert readings.next_event({ONE}, 10) is None


def test_records_below_the_position_and_of_others_are_dropped() -> None:
    readings = begun(ONE)
    readings.accept(readings.to_poll({ONE}), {P1: [kafka_record(4)], P2: [kafka_record(9)]})

    assert readings.next_event({ONE, TWO}, 10) is None


def test_a_doubted_shard_is_not_polled_until_it_is_begun_again() -> None:
    readings = begun(ONE, TWO)
    polled = readings.to_poll({ONE, TWO})
    doubted = readings.doubt(polled, [P1, TopicPartition("other", 0)])
    during = readings.to_poll({ONE, TWO}).keys()
    readings.begin(ONE, 8)

    assert [shard for shard, _ in doubted] == [ONE]
    assert during == {P2}
    assert readings.to_poll({ONE, TWO}).keys() == {P1, P2}


def test_a_shard_that_retention_overtook_is_told() -> None:
    readings = begun(ONE)
    [(_, reading)] = readings.doubt(readings.to_poll({ONE}), [P1])
    reading.first = 40

    assert readings.next_event({TWO}, 10) == Overtaken(ONE, 40)


def test_what_is_reached_is_what_is_handed_out_next() -> None:
    readings = begun(ONE)
    before = readings.reached(ONE)
    readings.accept(readings.to_poll({ONE}), {P1: [kafka_record(n) for n in (6, 7)]})
    waiting = readings.reached(ONE)
    readings.next_event({ONE}, 10)

    assert (before, waiting, readings.reached(ONE)) == (5, 6, 8)
    assert readings.reached(TWO) is None


def test_offsets_without_records_are_passed_over_but_not_what_waits() -> None:
    readings = begun(ONE)
    polled = readings.to_poll({ONE})
    readings.accept(polled, {P1: [kafka_record(5)]})
    readings.pass_over(polled, {P1: 9})
    waiting = readings.reached(ONE)
    readings.next_event({ONE}, 10)

    assert waiting == 5
    assert readings.reached(ONE) == 9
    assert readings.offsets() == {ONE: 9}


def test_a_position_from_before_a_new_begin_passes_over_nothing() -> None:
    readings = begun(ONE)
    polled = readings.to_poll({ONE})
    readings.begin(ONE, 3)
    readings.pass_over(polled, {P1: 9})

    assert readings.reached(ONE) == 3
