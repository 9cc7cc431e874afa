"""Several API workers tell one sum, which never goes down while their parent lives."""

from pathlib import Path

import msgspec
import pytest

from application.counts import ProduceCounts
from entrypoints.worker_counts import WorkerCounts, decode_counts, encode_counts, sum_counts


def counted(accepted: int, *, refused: int = 0, seconds: float = 0.003) -> ProduceCounts:
    counts = ProduceCounts()
    counts.requests[202] = accepted
    counts.requests[400] = refused
    counts.messages["transactions"] = accepted
    for _ in range(accepted):
        counts.duration.observe(seconds)
    return counts


def test_a_sum_adds_every_number_and_leaves_its_parts_alone() -> None:
    one, other = counted(2, refused=1), counted(3, seconds=20.0)

    total = sum_counts([one, other])

    assert (total.requests[202], total.requests[400]) == (5, 1)
    assert total.messages["transactions"] == 5
    assert sum(total.duration.counts) == 5
    assert total.duration.counts[-1] == 3
    assert total.duration.total == pytest.approx(60.006)
    assert one.requests[202] == 2


def test_the_sum_of_nothing_is_nothing() -> None:
    total = sum_counts([])

    assert total.requests == {}
    assert sum(total.duration.counts) == 0


def test_counts_come_back_from_json_as_they_were() -> None:
    counts = counted(2, refused=1)

    again = decode_counts(encode_counts(counts))

    assert again.requests == counts.requests
    assert again.messages == counts.messages
    assert again.duration.counts == counts.duration.counts
    assert again.duration.total == counts.duration.total


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"requests": {"a": 1}}', encode_counts(ProduceCounts()).replace(b"[0,", b"[")],
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_counts(data)


async def test_every_worker_tells_the_sum_of_all_as_it_is_now(tmp_path: Path) -> None:
    one, other = ProduceCounts(), ProduceCounts()
    async with WorkerCounts(tmp_path, 1, one) as first, WorkerCounts(tmp_path, 2, other) as second:
        one.requests[202] += 5
        other.requests[202] += 7
        totals = [await first.total(), await second.total()]

    assert [total.requests[202] for total in totals] == [12, 12]


async def test_a_worker_alone_tells_its_own(tmp_path: Path) -> None:
    async with WorkerCounts(tmp_path, 1, counted(3)) as worker:
        total = await worker.total()

    assert total.requests[202] == 3


async def test_what_a_dead_worker_counted_stays_in_the_sum(tmp_path: Path) -> None:
    async with WorkerCounts(tmp_path, 2, counted(7)):
        pass
    async with WorkerCounts(tmp_path, 1, counted(5)) as survivor:
        total = await survivor.total()

    assert total.requests[202] == 12


async def test_a_successor_goes_on_from_what_its_predecessor_counted(tmp_path: Path) -> None:
    async with WorkerCounts(tmp_path, 1, counted(5)):
        pass
    async with WorkerCounts(tmp_path, 1, counted(2)):
        pass
    async with WorkerCounts(tmp_path, 1, counted(1)) as third:
        total = await third.total()

    assert total.requests[202] == 8


async def test_what_was_told_to_another_worker_survives_a_sudden_death(tmp_path: Path) -> None:
    counts = ProduceCounts()
    async with WorkerCounts(tmp_path, 1, ProduceCounts()) as asking, WorkerCounts(tmp_path, 2, counts):
        counts.requests[202] += 9
        told = await asking.total()
        saved_by_then = decode_counts((tmp_path / "2.json").read_bytes())

    assert told.requests[202] == 9
    assert saved_by_then.requests[202] == 9


async def test_a_worker_that_answers_nonsense_counts_as_last_saved(tmp_path: Path) -> None:
    (tmp_path / "2.json").write_bytes(encode_counts(counted(4)))
    (tmp_path / "2.sock").write_bytes(b"no socket")
    (tmp_path / "3.json").write_bytes(b"half a fi")
    async with WorkerCounts(tmp_path, 1, counted(1)) as worker:
        total = await worker.total()

    assert total.requests[202] == 5


async def test_a_directory_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    directory = tmp_path / "shared"
    directory.mkdir()
    async with WorkerCounts(directory, 1, counted(3)) as worker:
        (directory / "1.new").mkdir()
        total = await worker.total()

    assert total.requests[202] == 3
