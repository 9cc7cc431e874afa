"""Orders to discard as Kafka records."""

from dataclasses import dataclass, replace

import pytest

from adapters.kafka_control import end_of_order, order_of, record_of_order
from domain.discard import Discard
from domain.errors import UnknownVersion
from domain.log import Headers, Shard

ORDER = Discard(topic="orders", group="sms", before=1.5, upto={0: 42, 11: 2**40}, at=2.25, by="adä@ops")


@dataclass(frozen=True)
class Found:
    """A record as aiokafka gives it."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    topic: str = "orders.sms.control"
    offset: int = 7


def found(order: Discard = ORDER) -> Found:
    record = record_of_order(order)
    return Found(record.key, record.value, record.headers)


def test_an_order_is_read_as_it_was_written_and_lies_in_the_one_partition_of_its_topic() -> None:
    assert record_of_order(ORDER).shard == Shard("orders.sms.control", 0)
    assert order_of("orders", "sms", found()) == ORDER


def test_each_order_has_a_key_of_its_own_so_that_compaction_keeps_it() -> None:
    assert record_of_order(ORDER).key != record_of_order(ORDER).key


def test_a_null_value_ends_the_order_of_its_key() -> None:
    end = end_of_order("orders", "sms", b"key")

    assert (end.key, end.value) == (b"key", None)
    assert order_of("orders", "sms", Found(end.key, end.value, end.headers)) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": (("herald-version", b"2"),)},
        {"headers": ()},
        {"key": None},
        {"value": b"no json"},
        {"value": b"[1]"},
        {"value": b'{"discard_before": 1.5, "upto": {"0": "x"}, "at": 1, "by": ""}'},
        {"value": b'{"discard_before": 1.5, "at": 1, "by": ""}'},
        {"value": b'{"pause_before": 1.5, "upto": {}, "at": 1, "by": ""}'},
    ],
)
def test_what_this_herald_does_not_know_is_told_with_its_place(changes: dict[str, object]) -> None:
    with pytest.raises(UnknownVersion, match=r"record 7 of orders\.sms\.control is no order .* run the"):
        order_of("orders", "sms", replace(found(), **changes))  # type: ignore[arg-type]
