import os
from pathlib import Path

import pytest

from adapters.disk_probe import DiskProbe, Room, room_of
from domain.diagnosis import Finding, FindingState

GIB, MIB = 2**30, 2**20


async def look(folder: Path, room: Room) -> Finding:
    [finding] = (await DiskProbe({"the log": folder}, lambda _: room).look()).findings
    return finding


@pytest.mark.parametrize(
    ("room", "state", "says"),
    [
        (Room(50 * GIB, 100 * GIB, 10**6), FindingState.OK, "50.0 GiB of 100.0 GiB free for the log at"),
        (Room(50 * GIB, 100 * GIB), FindingState.OK, "50.0 GiB"),
        (Room(900 * MIB, 10 * GIB), FindingState.WARNING, "only 900 MiB of 10.0 GiB free"),
        (Room(4 * GIB, 100 * GIB), FindingState.WARNING, "only 4.0 GiB of 100.0 GiB free"),
        (Room(99 * MIB, 10 * GIB), FindingState.WRONG, "only 99 MiB of 10.0 GiB free"),
        (Room(50 * GIB, 100 * GIB, 12), FindingState.WARNING, "room for 12 files only"),
    ],
)
async def test_room_is_judged_by_what_is_left(
    tmp_path: Path, room: Room, state: FindingState, says: str
) -> None:
    finding = await look(tmp_path, room)

    assert (finding.name, finding.state) == ("disk", state)
    assert says in finding.says
    assert bool(finding.remedy) == (state is not FindingState.OK)


async def test_of_a_folder_that_is_not_there_the_one_above_is_looked_at_and_none_is_made(
    tmp_path: Path,
) -> None:
    finding = await look(tmp_path / "a" / "b", Room(50 * GIB, 100 * GIB))

    assert finding.says.endswith(f"at {tmp_path}")
    assert not os.listdir(tmp_path)  # noqa: PTH208 - nothing else runs


async def test_a_disk_is_looked_at_once_for_all_that_is_kept_there(tmp_path: Path) -> None:
    places = {"the log": tmp_path, "log files": tmp_path / "logs"}
    probe = DiskProbe(places, lambda _: Room(50 * GIB, 100 * GIB))

    [finding] = (await probe.look()).findings

    assert "for the log and log files at" in finding.says


async def test_a_disk_that_fails_is_wrong(tmp_path: Path) -> None:
    def fail(_: Path) -> Room:
        raise OSError(5, "Input/output error")

    [finding] = (await DiskProbe({"the log": tmp_path}, fail).look()).findings

    assert finding.state is FindingState.WRONG
    assert "Input/output error" in finding.says


def test_the_real_disk_tells_its_room(tmp_path: Path) -> None:
    room = room_of(tmp_path)

    assert 0 <= room.free <= room.total
    assert room.total > 0
