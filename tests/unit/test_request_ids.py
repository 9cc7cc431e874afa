import random
import uuid

from application.request_ids import RequestIds
from tests.fakes import FakeClock


def ids_of(clock: FakeClock) -> RequestIds:
    numbers = random.Random(7)
    return RequestIds(clock, lambda: f"{numbers.getrandbits(64):016x}")


def test_an_id_is_a_uuid_of_version_7() -> None:
    made = uuid.UUID(ids_of(FakeClock())())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_the_milliseconds_since_the_epoch() -> None:
    made = uuid.UUID(ids_of(FakeClock(1_800_000_000.123))())

    assert made.int >> 80 == 1_800_000_000_123


def test_ids_rise_while_the_clock_stands_still() -> None:
    new_id = ids_of(FakeClock())
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(set(made))


def test_ids_rise_when_the_clock_goes_back() -> None:
    clock = FakeClock()
    new_id = ids_of(clock)
    before = new_id()
    clock.time -= 3600

    assert new_id() > before


def test_ids_rise_with_the_clock() -> None:
    clock = FakeClock()
    new_id = ids_of(clock)
    before = new_id()
    clock.time += 0.001

    assert new_id() > before


def test_ids_of_one_millisecond_differ_in_their_random_part_too() -> None:
    new_id = ids_of(FakeClock())
    made = [uuid.UUID(new_id()).int & (1 << 62) - 1 for _ in range(1000)]

    assert len(set(made)) == 1000
