from application.where_to_begin import BeginAt, StopShard, where_to_begin
from domain.log import Bounds, Position
from domain.topic import Start


def test_a_new_group_begins_where_the_topic_says() -> None:
    bounds = Bounds(first=3, end=9)

    assert where_to_begin(None, bounds, Start.BEGINNING) == BeginAt(3)
    assert where_to_begin(None, bounds, Start.END) == BeginAt(9)


def test_a_known_group_goes_on_where_it_was_whatever_the_topic_says() -> None:
    assert where_to_begin(Position(5), Bounds(0, 9), Start.END) == BeginAt(5)
    assert where_to_begin(Position(9), Bounds(0, 9), Start.BEGINNING) == BeginAt(9)


def test_what_retention_deleted_is_counted() -> None:
    assert where_to_begin(Position(2), Bounds(7, 9), Start.BEGINNING) == BeginAt(7, lost=5)


def test_a_position_beyond_the_end_stops_the_shard() -> None:
    begin = where_to_begin(Position(10), Bounds(0, 9), Start.BEGINNING)

    assert isinstance(begin, StopShard)
    assert "made anew" in begin.reason
