"""A story folded from what was seen and noted, where clocks differ and an id comes again."""

from domain.ledger import LedgerRecord, State
from domain.log import Shard
from domain.outcome import DeadLetterReason
from domain.status import DeliveryState, MessageStatus, Sighting
from domain.status_fold import fold_status, notes_of

SHARD = Shard("transactions", 2)
NOW = 1_800_000_000.0


def seen(offset: int, at: float, *channels: str, for_group: str = "") -> Sighting:
    return Sighting(
        shard=SHARD,
        offset=offset,
        request_id="r-1",
        accepted_at=at,
        channels=frozenset(channels or ("email", "sms")),
        for_group=for_group,
    )


def noted(offset: int, state: State, at: float, attempts: int = 0, reason: str = "") -> LedgerRecord:
    return LedgerRecord(
        offset=offset,
        request_id="r-1",
        digest=1,
        state=state,
        low=0,
        at=at,
        attempts=attempts,
        reason=reason,
    )


def fold(*sightings: Sighting, **groups: list[LedgerRecord]) -> MessageStatus:
    notes = {group: notes_of(records, {}, 0) for group, records in groups.items()}
    return fold_status(sightings, notes, NOW)


def told(status: MessageStatus) -> list[tuple[str, str]]:
    return [(step.group, step.event.value) for step in status.story]


def test_a_process_whose_clock_is_behind_does_not_come_before_the_message_or_its_own_notes() -> None:
    status = fold(
        seen(5, 100.0),
        email=[
            noted(5, State.RETRYING, 90.0, 1),
            noted(5, State.RETRYING, 103.0, 2),
            noted(5, State.SENT, 80.0),
        ],
        sms=[noted(5, State.SENT, 102.0)],
    )

    assert told(status) == [
        ("", "accepted"),
        ("email", "retrying"),
        ("sms", "sent"),
        ("email", "retrying"),
        ("email", "sent"),
    ]
    assert [step.at for step in status.story] == [100.0, 90.0, 102.0, 103.0, 80.0]


def test_one_that_ended_badly_and_was_sent_again_is_accepted_again_once() -> None:
    dead = [noted(5, State.DEAD, 101.0), noted(6, State.SENT, 111.0)]
    status = fold(seen(5, 100.0), seen(6, 110.0), seen(7, 120.0), email=dead, sms=list(dead))

    assert told(status) == [
        ("", "accepted"),
        ("email", "dead"),
        ("sms", "dead"),
        ("", "accepted"),
        ("email", "sent"),
        ("sms", "sent"),
    ]


def test_a_letter_put_back_whose_first_record_is_gone_begins_with_that() -> None:
    status = fold(seen(9, 100.0, for_group="sms"), email=[], sms=[noted(9, State.SENT, 101.0)])

    assert told(status) == [("sms", "replayed"), ("sms", "sent")]
    assert status.deliveries.keys() == {"sms"}


def test_a_message_under_a_used_id_is_told_where_it_is_the_first_that_is_left() -> None:
    reuse = noted(9, State.DEAD, 101.0, reason=DeadLetterReason.REQUEST_ID_REUSED)
    status = fold(seen(9, 100.0), email=[reuse])

    assert told(status) == [("", "accepted"), ("email", "dead")]
    assert status.story[1].dead_letter == "transactions.email-2-9"


def test_another_message_under_a_sent_id_that_was_discarded_leaves_the_first_ones_status() -> None:
    sent, discarded = noted(5, State.SENT, 101.0), noted(9, State.EXPIRED, 103.0, reason="discarded")
    status = fold(seen(5, 100.0), seen(9, 102.0), email=[sent, discarded])

    assert status.deliveries["email"].state is DeliveryState.SENT


def test_a_dead_letter_that_was_put_back_and_discarded_is_expired_with_its_reason() -> None:
    dead, discarded = noted(5, State.DEAD, 101.0), noted(9, State.EXPIRED, 103.0, reason="discarded")
    status = fold(seen(5, 100.0), seen(9, 102.0, for_group="email"), email=[dead, discarded])

    delivery = status.deliveries["email"]
    assert (delivery.state, delivery.reason) == (DeliveryState.EXPIRED, "discarded")


def test_a_copy_of_an_open_note_behind_the_end_changes_nothing() -> None:
    tried, sent = noted(5, State.RETRYING, 101.0, 1), noted(5, State.SENT, 102.0, 1)
    status = fold(seen(5, 100.0), email=[tried, sent, tried])

    assert told(status) == [("", "accepted"), ("email", "retrying"), ("email", "sent")]
