"""What the load generators read, plan and sum up."""

from itertools import pairwise

import pytest

from benchmarks.load import distinct, length_of, lists, ndjson
from benchmarks.messages import BATCH
from benchmarks.open_loop import percentile, plan
from benchmarks.wrk import read_totals


def test_a_percentile_is_the_least_figure_that_so_many_do_not_exceed() -> None:
    hundred = [float(number) for number in range(100, 0, -1)]

    assert percentile(hundred, 0.5) == 50
    assert percentile(hundred, 0.99) == 99
    assert percentile(hundred, 1.0) == 100
    assert percentile([7.0], 0.01) == 7


def test_a_plan_keeps_its_rate_with_gaps_of_all_lengths() -> None:
    times = plan(1_000, 10.0, seed=1)
    gaps = [later - earlier for earlier, later in pairwise(times)]

    assert times[0] == 0
    assert 9_500 < len(times) < 10_500
    assert times[-1] < 10
    assert min(gaps) < 0.0001
    assert max(gaps) > 0.005


def test_a_plan_is_the_same_for_the_same_seed() -> None:
    assert plan(100, 1.0, seed=3) == plan(100, 1.0, seed=3)
    assert plan(100, 1.0, seed=3) != plan(100, 1.0, seed=4)


def test_the_length_of_a_body_is_found_however_a_server_spells_the_header() -> None:
    assert length_of(b"HTTP/1.1 202 Accepted\r\nContent-Length: 42\r\nx: 1") == 42
    assert length_of(b"HTTP/1.1 202 Accepted\r\nx: 1\r\ncontent-length:7") == 7


def test_wrks_totals_are_messages_seconds_and_its_own_share_of_a_core() -> None:
    load = read_totals("Running 2s test\ntotals 1000 0 0 0 2000000\n", "", cpu=0.5)

    assert load == (1000, 2.0, 0.25)


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("totals 10 3 503 0 1000000\n", "3 of 13 requests were not answered 202; one got 503"),
        ("totals 10 0 0 2 1000000\n", "2 connections broke"),
        ("totals 0 0 0 0 1000000\n", "0 requests were answered"),
        ("", "wrk failed: unable to connect"),
    ],
)
def test_a_turn_in_which_not_all_were_accepted_ends_the_part(printed: str, reason: str) -> None:
    with pytest.raises(SystemExit, match=reason):
        read_totals(printed, "unable to connect", cpu=0.5)


def test_the_peer_is_given_the_messages_that_herald_is_given() -> None:
    lines = next(ndjson()).partition(b"\r\n\r\n")[2].split(b"\n")
    listed = next(lists()).partition(b"\r\n\r\n")[2]

    assert len(lines) == BATCH
    assert listed == b"[%s]" % b",".join(lines)


def test_distinct_keys_never_come_again() -> None:
    requests = distinct()
    keys = [key for _ in range(3) for key in next(requests).split(b'"key": "')[1:]]

    assert len(set(keys)) == 3 * BATCH
