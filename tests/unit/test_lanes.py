from application.lanes import Lanes
from domain.log import Shard
from tests.engine_parts import SHARD, TOPIC, delivery


def test_a_key_has_one_message_in_flight() -> None:
    lanes = Lanes(concurrency=10)
    first, second = delivery(0, "a"), delivery(1, "a")
    lanes.put(first)
    lanes.put(second)

    assert lanes.take(0.0) is first
    assert lanes.take(0.0) is None

    lanes.finish(first)
    assert lanes.take(0.0) is second


def test_messages_without_a_key_do_not_wait_for_each_other() -> None:
    lanes = Lanes(concurrency=10)
    lanes.put(delivery(0))
    lanes.put(delivery(1))

    assert lanes.could_start(0.0)
    assert [lanes.take(0.0) is not None for _ in range(3)] == [True, True, False]


def test_a_busy_key_gets_one_turn_and_then_goes_behind_the_others() -> None:
    lanes = Lanes(concurrency=1)
    for offset, key in enumerate(["hot", "hot", "hot", "b", "c"]):
        lanes.put(delivery(offset, key))

    order = []
    while (taken := lanes.take(0.0)) is not None:
        order.append(taken.message.key)
        lanes.finish(taken)
    assert order == ["hot", "b", "c", "hot", "hot"]


def test_a_retry_keeps_its_place_and_waits_for_its_time() -> None:
    lanes = Lanes(concurrency=10)
    first, second = delivery(0, "a"), delivery(1, "a")
    lanes.put(first)
    lanes.put(second)
    lanes.take(0.0)
    lanes.retry(first, due=5.0)

    assert lanes.next_due() == 5.0
    assert (lanes.take(4.9), lanes.could_start(4.9)) == (None, False)
    assert (lanes.could_start(5.0), lanes.take(5.0)) == (True, first)


def test_retries_hold_at_most_three_tenths_of_the_slots() -> None:
    lanes = Lanes(concurrency=10)
    for offset in range(8):
        lanes.put(delivery(offset, f"k{offset}"))
    for _ in range(5):
        failed = lanes.take(0.0)
        assert failed is not None
        lanes.retry(failed, due=1.0)

    taken = [lanes.take(2.0) for _ in range(7)]
    assert [one.is_retry for one in taken if one] == [True, False, True, False, True, False]

    retried = taken[0]
    assert retried is not None
    lanes.finish(retried)
    fourth = lanes.take(2.0)
    assert fourth is not None
    assert fourth.is_retry


def test_even_one_slot_lets_a_retry_through() -> None:
    lanes = Lanes(concurrency=1)
    only = delivery(0, "a")
    lanes.put(only)
    lanes.take(0.0)
    lanes.retry(only, due=0.0)

    assert lanes.take(0.0) is only


def test_what_is_given_back_is_the_head_of_its_lane_again() -> None:
    lanes = Lanes(concurrency=2)
    first = delivery(0, "a")
    lanes.put(first)
    lanes.put(delivery(1, "a"))
    lanes.take(0.0)

    lanes.give_back(first)

    assert lanes.take(0.0) is first


def test_probes_go_round_over_all_heads_once_a_round() -> None:
    lanes = Lanes(concurrency=10)
    ready, waiting = delivery(0, "a"), delivery(1, "b")
    lanes.put(waiting)
    lanes.take(0.0)
    lanes.retry(waiting, due=99.0)
    lanes.put(ready)

    assert lanes.take_probe(0.0, probe_round=1) is ready
    assert lanes.take_probe(0.0, probe_round=1) is waiting
    assert lanes.next_due() is None  # it is out, not waiting

    lanes.give_back(ready)
    lanes.retry(waiting, due=99.0)
    assert lanes.take_probe(0.0, probe_round=1) is None
    assert lanes.take_probe(0.0, probe_round=2) is ready


def test_a_message_whose_answer_was_lost_is_no_probe_before_its_wait_is_over() -> None:
    lanes = Lanes(concurrency=10)
    uncertain = delivery(0, "a")
    uncertain.uncertain_until = 60.0
    lanes.put(uncertain)

    assert lanes.take_probe(59.0, probe_round=1) is None
    assert lanes.take_probe(60.0, probe_round=1) is uncertain


def test_a_probe_that_was_waiting_is_not_taken_a_second_time_when_its_time_comes() -> None:
    lanes = Lanes(concurrency=10)
    only = delivery(0, "a")
    lanes.put(only)
    lanes.take(0.0)
    lanes.retry(only, due=5.0)
    lanes.take_probe(0.0, probe_round=1)

    assert lanes.take(6.0) is None


def test_dropped_shards_are_forgotten_and_others_stay() -> None:
    other = Shard(TOPIC, 1)
    lanes = Lanes(concurrency=10)
    out, waiting, kept = delivery(0, "a"), delivery(1, "b"), delivery(0, "a", other)
    for one in (out, waiting, kept, delivery(2)):
        lanes.put(one)
    lanes.take(0.0)
    lanes.take(0.0)
    lanes.retry(waiting, due=1.0)

    lanes.drop({SHARD})
    lanes.finish(out)

    assert lanes.take(9.0) is kept
    assert lanes.take(9.0) is None


def test_a_dropped_retry_frees_its_slot_when_its_worker_is_done() -> None:
    lanes = Lanes(concurrency=1)
    dropped, kept = delivery(0, "a"), delivery(0, "b", Shard(TOPIC, 1))
    lanes.put(dropped)
    lanes.take(0.0)
    lanes.retry(dropped, due=0.0)
    lanes.take(0.0)
    lanes.drop({SHARD})
    lanes.put(kept)
    lanes.take(0.0)
    lanes.retry(kept, due=0.0)
    assert lanes.take(0.0) is None

    lanes.forget(dropped)

    assert lanes.take(0.0) is kept


def test_with_one_slot_fresh_heads_and_retries_take_turns() -> None:
    lanes = Lanes(1)
    failing = delivery(0)
    lanes.put(failing)
    for offset in range(1, 4):
        lanes.put(delivery(offset))

    taken: list[int] = []
    while (head := lanes.take(0.0)) is not None and len(taken) < 7:
        taken.append(head.record.offset)
        lanes.retry(head, due=0.0) if head is failing else lanes.finish(head)
    assert taken == [0, 0, 1, 0, 2, 0, 3]
