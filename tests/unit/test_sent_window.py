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
