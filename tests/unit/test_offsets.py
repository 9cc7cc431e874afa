from application.offsets import OffsetTracker


def test_nothing_taken_leaves_the_position_at_the_start() -> None:
    tracker = OffsetTracker(7)

    assert (tracker.safe, tracker.next, tracker.oldest) == (7, 7, None)


def test_only_what_is_finished_without_a_gap_is_safe() -> None:
    tracker = OffsetTracker(0)
    for offset in (0, 1, 2):
        tracker.take(offset, timestamp=100.0 + offset)

    tracker.finish(1)
    assert (tracker.safe, tracker.run_ahead, tracker.unfinished, tracker.oldest) == (0, 1, 2, 100.0)

    tracker.finish(0)
    assert (tracker.safe, tracker.run_ahead, tracker.unfinished, tracker.oldest) == (2, 0, 1, 102.0)

    tracker.finish(2)
    assert (tracker.safe, tracker.unfinished) == (3, 0)


def test_gaps_in_the_logs_offsets_are_not_waited_for() -> None:
    tracker = OffsetTracker(10)
    tracker.take(12, 0.0)
    tracker.take(20, 0.0)

    tracker.finish(12)
    assert tracker.safe == 20

    tracker.finish(20)
    assert tracker.safe == 21


def test_what_retention_deleted_is_skipped_but_never_backwards() -> None:
    tracker = OffsetTracker(5)

    tracker.skip_to(9)
    tracker.skip_to(3)

    assert tracker.safe == 9
