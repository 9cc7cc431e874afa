"""What a shard's notes say once they are folded, and from where they must be read again."""

from application.shard_ledger import ShardLedger
from domain.ledger import Deferral, LedgerRecord, Note, Places, State, Tombstone, Written
from tests.engine_parts import record


def ledger_of(*notes: Note, window: int = 100, begin: int = 0) -> ShardLedger:
    """Folds the notes as they would stand in the log: each at the next position of its kind."""
    ledger = ShardLedger(window)
    fold(ledger, *notes, begin=begin)
    return ledger


def fold(ledger: ShardLedger, *notes: Note, begin: int = 0) -> None:
    for note in notes:
        of_ledger = isinstance(note, LedgerRecord)
        position = max(begin, ledger.next.ledger if of_ledger else ledger.next.deferred)
        ledger.fold(Written(position, note))


def noted(
    offset: int, state: State, request_id: str = "", attempts: int = 0, uncertain: int = 0
) -> LedgerRecord:
    given = request_id or f"id-{offset}"
    return LedgerRecord(
        offset=offset,
        request_id=given,
        digest=7,
        state=state,
        attempts=attempts,
        uncertain=uncertain,
        low=0,
        at=0.0,
    )


def put(offset: int, value: bytes = b"{}", attempts: int = 0) -> Deferral:
    return Deferral(record=record(offset, value=value), attempts=attempts)


# The skip rule's questions ------------------------------------------------------------------------


def test_an_end_is_of_its_offset_and_its_id_together() -> None:
    ledger = ledger_of(noted(5, State.DEAD, "a"))

    assert ledger.has_ended(5, "a")
    assert not ledger.has_ended(5, "b")
    assert not ledger.has_ended(6, "a")


def test_only_what_was_sent_suppresses_its_id_elsewhere() -> None:
    ends = [noted(n, state, str(state)) for n, state in enumerate((State.SENT, State.DEAD, State.EXPIRED))]

    ledger = ledger_of(*ends)

    assert [ledger.sent_digest(name) for name in ("sent", "dead", "expired")] == [7, None, None]


def test_tries_count_until_the_message_ends() -> None:
    ledger = ledger_of(noted(5, State.RETRYING, "a", attempts=2), noted(5, State.RETRYING, "a", attempts=3))
    tried = ledger.tries_not_carried(5, "a")
    assert tried is not None
    assert tried.attempts == 3
    assert ledger.tries_not_carried(5, "b") is None

    fold(ledger, noted(5, State.SENT, "a"))

    assert ledger.tries_not_carried(5, "a") is None


def test_a_copy_of_a_note_that_was_written_twice_changes_nothing() -> None:
    ledger = ledger_of(noted(5, State.RETRYING, "a", attempts=1), noted(5, State.SENT, "a"))

    fold(ledger, noted(5, State.RETRYING, "a", attempts=1))

    assert ledger.has_ended(5, "a")
    assert ledger.tries_not_carried(5, "a") is None


# What must be read back ---------------------------------------------------------------------------


def test_an_empty_ledger_needs_nothing_but_what_is_to_come() -> None:
    ledger = ShardLedger(100)
    ledger.reach(Places(40, 9))

    assert ledger.needed_from(17) == Places(40, 9)


def test_the_oldest_of_the_window_is_needed() -> None:
    ledger = ledger_of(*(noted(n, State.SENT) for n in range(10)), window=3)
    ledger.forget_below(10)

    assert ledger.needed_from(10).ledger == 7


def test_an_end_is_needed_while_the_commit_has_not_passed_it() -> None:
    ledger = ledger_of(noted(3, State.DEAD), noted(5, State.EXPIRED))

    assert [ledger.needed_from(commit).ledger for commit in (3, 4, 6)] == [0, 1, 2]


def test_an_end_is_needed_until_its_tombstone_is_safe() -> None:
    ledger = ledger_of(put(3), noted(3, State.DEAD))
    ledger.forget_below(10)
    assert ledger.needed_from(10) == Places(0, 0)

    fold(ledger, Tombstone(3))
    ledger.forget_below(10)

    assert ledger.needed_from(10) == Places(1, 2)


def test_tries_are_needed_until_a_put_carries_them() -> None:
    ledger = ledger_of(noted(3, State.RETRYING, attempts=2))
    assert ledger.needed_from(0).ledger == 0

    fold(ledger, put(3, attempts=2))
    assert ledger.needed_from(10).ledger == 1

    fold(ledger, noted(3, State.UNCERTAIN, attempts=2, uncertain=1))
    assert ledger.needed_from(10).ledger == 1


def test_tries_that_no_put_carries_are_needed_after_the_commit_passed_an_earlier_put() -> None:
    ledger = ledger_of(put(3, attempts=1), noted(3, State.RETRYING, attempts=2))

    ledger.forget_below(10)

    assert ledger.needed_from(10).ledger == 0


def test_the_latest_put_of_the_one_put_longest_ago_is_needed() -> None:
    ledger = ledger_of(put(3), put(4), put(3, attempts=1))
    assert ledger.needed_from(10).deferred == 1

    fold(ledger, Tombstone(4))

    assert ledger.needed_from(10).deferred == 2


def test_the_commit_may_forget_what_is_below_it_and_nothing_else() -> None:
    ledger = ledger_of(noted(3, State.DEAD), noted(8, State.DEAD), noted(4, State.RETRYING, attempts=1))

    ledger.forget_below(5)

    assert (ledger.has_ended(3, "id-3"), ledger.has_ended(8, "id-8")) == (False, True)
    assert ledger.tries_not_carried(4, "id-4") is None
    assert ledger.forgotten_below == 5


# What is put off ----------------------------------------------------------------------------------


def test_what_is_put_off_is_counted_once_with_its_bytes() -> None:
    ledger = ledger_of(put(3, b"12345"), put(3, b"12345", attempts=1), put(9, b"1"))
    assert (sorted(ledger.deferred), ledger.deferred_bytes, ledger.highest_deferred) == ([3, 9], 6, 9)

    fold(ledger, Tombstone(9), Tombstone(9), Tombstone(77))

    assert (sorted(ledger.deferred), ledger.deferred_bytes) == ([3], 5)


def test_the_newest_record_is_the_one_folded_last() -> None:
    ledger = ledger_of(noted(9, State.SENT), noted(4, State.SENT))

    assert ledger.newest is not None
    assert ledger.newest.offset == 4


def test_reaching_never_goes_back() -> None:
    ledger = ledger_of(noted(1, State.SENT), noted(2, State.SENT), put(3))

    ledger.reach(Places(0, 5))

    assert ledger.next == Places(2, 5)
