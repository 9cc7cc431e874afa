from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.partitioning import choose_partition, murmur2, partition_of_key, partition_of_request


# The vectors of Kafka's own UtilsTest.testMurmur2, where the number is a signed int.
@pytest.mark.parametrize(
    ("data", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.binary(max_size=64))
@settings(max_examples=100, database=None)
def test_murmur2_has_32_bits(data: bytes) -> None:
    assert 0 <= murmur2(data) < 2**32


def test_a_keys_partition_is_that_of_kafkas_default_partitioner() -> None:
    assert partition_of_key("foobar", 6) == (-790332482 & 0x7FFFFFFF) % 6


def test_a_key_beyond_ascii_is_hashed_as_utf_8() -> None:
    assert partition_of_key("Köln", 6) == (murmur2("Köln".encode()) & 0x7FFFFFFF) % 6


def test_without_a_key_the_request_id_decides_so_that_a_repeat_meets_the_first() -> None:
    assert partition_of_request("abc", 6) == crc32(b"abc") % 6


def test_an_explicit_partition_wins_over_the_key() -> None:
    assert choose_partition(explicit=0, key="foobar", request_id="abc", partitions=6) == 0


def test_a_key_wins_over_the_request_id() -> None:
    chosen = choose_partition(explicit=None, key="foobar", request_id="abc", partitions=6)

    assert chosen == partition_of_key("foobar", 6)


def test_without_both_the_request_id_decides() -> None:
    chosen = choose_partition(explicit=None, key=None, request_id="abc", partitions=6)

    assert chosen == partition_of_request("abc", 6)


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.integers(1, 64))
@settings(max_examples=100, database=None)
def test_every_choice_is_a_partition_of_the_topic(text: str, partitions: int) -> None:
    assert 0 <= partition_of_key(text, partitions) < partitions
    assert 0 <= partition_of_request(text, partitions) < partitions
