from hypothesis import given, settings
from hypothesis import strategies as st

from application.sent_window import SentWindow


def window_of(size: int, *ids: str) -> SentWindow:
    window = SentWindow(size)
    for position, request_id in enumerate(ids):
        window.add(request_id, digest=position, position=position)
    return window


def test_what_was_sent_is_known_with_its_digest() -> None:
    window = window_of(10, "a", "b")

    assert (window.digest("a"), window.digest("b"), window.digest("c")) == (0, 1, None)


def test_only_the_last_so_many_are_known() -> None:
    window = window_of(3, "a", "b", "c", "d", "e")

    assert [window.digest(name) for name in "abcde"] == [None, None, 2, 3, 4]
    assert (len(window), window.oldest) == (3, 2)


def test_an_id_that_was_sent_twice_is_known_until_its_last_copy_leaves_the_window() -> None:
    window = window_of(3, "a", "a", "b")

    for position, (name, known) in enumerate([("c", 1), ("d", None)], start=3):
        window.add(name, digest=position, position=position)
        assert window.digest("a") == known


def test_three_copies_of_an_id_leave_one_by_one() -> None:
    window = window_of(4, "a", "a", "a")
    known = []

    for position in range(3, 7):
        window.add(f"n{position}", digest=position, position=position)
        known.append(window.digest("a"))

    assert known == [2, 2, 2, None]


def test_positions_may_have_gaps() -> None:
    window = SentWindow(2)
    for position in (5, 9, 40):
        window.add(str(position), 0, position)

    assert window.oldest == 9


def test_nothing_sent_needs_nothing_read_back() -> None:
    assert SentWindow(5).oldest is None


def test_a_window_of_none_remembers_none() -> None:
    window = window_of(0, "a", "b")

    assert (window.digest("b"), window.oldest, len(window)) == (None, None, 0)


def test_it_stays_right_and_small_over_many_times_its_size() -> None:
    window = window_of(100, *(f"id-{number}" for number in range(10_000)))

    known = [number for number in range(10_000) if window.digest(f"id-{number}") is not None]
    assert known == list(range(9_900, 10_000))
    assert window.oldest == 9_900
    assert len(window._hashes) <= 201


def test_what_was_sent_too_long_ago_leaves_the_window() -> None:
    window = SentWindow(10)
    for position, name in enumerate("abcd"):
        window.add(name, digest=position, position=position, at=100.0 * position)

    window.forget_before(150.0)

    assert [window.digest(name) for name in "abcd"] == [None, None, 2, 3]
    assert window.oldest == 2


def test_all_may_leave_the_window() -> None:
    window = window_of(10, "a", "a", "b")

    window.forget_before(1.0)

    assert (len(window), window.digest("a"), window.oldest) == (0, None, None)


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(0, 2), st.booleans()), max_size=80),
)
@settings(max_examples=300, deadline=None, database=None)
def test_whatever_comes_it_knows_what_a_list_of_the_last_ones_knows(
    size: int, steps: list[tuple[str, int, bool]]
) -> None:
    window, sent, now = SentWindow(size), list[tuple[str, int, int]](), 0
    for position, (name, seconds, forgets) in enumerate(steps):
        now += seconds
        window.add(name, digest=1000 + position, position=position, at=float(now))
        sent = [*sent, (name, position, now)][-size:]
        if forgets:
            window.forget_before(now - 2.0)
            sent = [one for one in sent if one[2] >= now - 2]

        last = {known: 1000 + at for known, at, _ in sent}
        assert [window.digest(one) for one in "abcdefghijklmnop"] == [*map(last.get, "abcdefghijklmnop")]
        assert (len(window), window.oldest) == (len(sent), sent[0][1] if sent else None)


def test_ids_that_share_a_bucket_are_told_apart_also_while_the_buckets_grow() -> None:
    window = SentWindow(1_500)
    for number in range(4_000):
        window.add(f"id-{number}", digest=number, position=number)

        oldest = max(0, number - 1_499)
        assert (window.digest(f"id-{oldest}"), window.digest(f"id-{number}")) == (oldest, number)
    known = [number for number in range(4_000) if window.digest(f"id-{number}") == number]
    assert known == list(range(2_500, 4_000))
