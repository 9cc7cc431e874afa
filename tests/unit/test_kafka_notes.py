"""Notes as Kafka records: their form is for ever, and what is not in it is not guessed at."""

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.kafka_notes import NoteRecord, deferral_of, entry_of, record_of_note
from domain.errors import UnknownVersion
from domain.ledger import Deferral, LedgerRecord, Note, State, Tombstone, Written
from domain.log import Record, Shard

SHARD = Shard("transactions", 4)
ENTRY = LedgerRecord(
    offset=17,
    request_id="01980e5e-0000-7000-8000-000000000000",
    digest=2**64 - 1,
    state=State.DEAD,
    attempts=3,
    uncertain=1,
    reason="refused",
    provider_id="queued as 4",
    low=12,
    at=1_800_000_000.25,
)
ORIGINAL = Record(SHARD, 17, b"key", b"value", (("herald-due", b"mine"), ("a", b"1")), 1_800_000_000.125)
PUT = Deferral(record=ORIGINAL, attempts=3, uncertain=1, due=1_800_000_060.5)


def written(note: Note) -> NoteRecord:
    return record_of_note(SHARD, "email", note)


def as_read(record: NoteRecord, offset: int = 7, **changes: Any) -> Any:
    """As aiokafka gives it back."""
    parts = {"key": record.key, "value": record.value, "headers": record.headers, **changes}
    return SimpleNamespace(offset=offset, topic=record.shard.topic, partition=record.shard.partition, **parts)


def test_a_ledger_record_s_form() -> None:
    record = written(ENTRY)

    assert record.shard == Shard("transactions.email.ledger", 4)
    assert (record.key, record.headers) == (None, ())
    assert record.value == b"".join(
        [
            struct.pack(">BQQB", 1, 17, 2**64 - 1, 3),
            struct.pack(">IIQd", 3, 1, 12, 1_800_000_000.25),
            struct.pack(">HHH", 36, 7, 11),
            b"01980e5e-0000-7000-8000-000000000000refusedqueued as 4",
        ]
    )


@pytest.mark.parametrize(
    ("state", "number"),
    [(State.RETRYING, 0), (State.UNCERTAIN, 1), (State.SENT, 2), (State.DEAD, 3), (State.EXPIRED, 4)],
)
def test_a_state_s_number(state: State, number: int) -> None:
    record = written(LedgerRecord(offset=0, request_id="r", digest=0, state=state, low=0, at=0.0))

    assert record.value is not None
    assert record.value[17] == number


def test_a_ledger_record_is_about_a_hundred_bytes() -> None:
    assert len(written(ENTRY).value or b"") < 110


def test_a_deferral_s_form() -> None:
    record = written(PUT)

    assert record.shard == Shard("transactions.email.deferred", 4)
    assert (record.key, record.value) == (b"17", b"value")
    assert record.headers == (
        ("herald-version", b"1"),
        ("herald-key", b"key"),
        ("herald-attempts", b"3"),
        ("herald-uncertain", b"1"),
        ("herald-due", b"1800000060.5"),
        ("herald-timestamp", b"1800000000.125"),
        ("herald-due", b"mine"),
        ("a", b"1"),
    )


def test_a_tombstone_s_form() -> None:
    assert written(Tombstone(17)) == NoteRecord(
        Shard("transactions.email.deferred", 4), b"17", None, (("herald-version", b"1"),)
    )


def test_a_very_long_answer_of_a_provider_is_cut_off_between_two_characters() -> None:
    long = LedgerRecord(
        offset=0, request_id="r", digest=0, state=State.SENT, provider_id="\N{SNOWMAN}" * 999, low=0, at=0.0
    )
    note = entry_of(SHARD, as_read(written(long))).note

    assert isinstance(note, LedgerRecord)
    assert note.provider_id == "\N{SNOWMAN}" * 666


def test_odd_bytes_of_a_server_do_not_stop_the_ledger() -> None:
    odd = LedgerRecord(
        offset=0, request_id="r", digest=0, state=State.DEAD, reason="550 \udcff", low=0, at=0.0
    )
    note = entry_of(SHARD, as_read(written(odd))).note

    assert isinstance(note, LedgerRecord)
    assert note.reason == "550 ?"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\x02",
        b"\x01",
        (written(ENTRY).value or b"")[:-1],
        (written(ENTRY).value or b"") + b"x",
        struct.pack(">BQQBIIQdHHH", 1, 1, 1, 9, 1, 1, 1, 0.0, 0, 0, 0),
        struct.pack(">BQQBIIQdHHH", 1, 1, 1, 2, 1, 1, 1, 0.0, 1, 0, 0) + b"\xff",
    ],
    ids=["null", "empty", "newer", "short", "cut", "long", "state", "text"],
)
def test_a_ledger_record_in_another_form_is_told_with_its_place(value: bytes | None) -> None:
    with pytest.raises(UnknownVersion, match=r"^record 7 of transactions\.email\.ledger-4 is not in a form"):
        entry_of(SHARD, as_read(written(ENTRY), value=value))


@pytest.mark.parametrize(
    "changes",
    [
        {"headers": ()},
        {"headers": (("a", b"1"), *written(PUT).headers)},
        {"headers": (("herald-version", b"2"), *written(PUT).headers[1:])},
        {"headers": written(PUT).headers[:5]},
        {"headers": (*written(PUT).headers[:2], ("herald-attempts", b"many"), *written(PUT).headers[3:])},
        {"key": b"x"},
        {"key": None},
    ],
    ids=["none", "foreign", "newer", "few", "number", "key", "no-key"],
)
def test_a_deferral_in_another_form_is_told_with_its_place(changes: dict[str, Any]) -> None:
    with pytest.raises(
        UnknownVersion, match=r"^record 7 of transactions\.email\.deferred-4 is not in a form"
    ):
        deferral_of(SHARD, as_read(written(PUT), **changes))


def test_an_original_header_without_a_value_comes_back_empty() -> None:
    record = as_read(written(PUT), headers=(*written(PUT).headers[:6], ("empty", None)))
    note = deferral_of(SHARD, record).note

    assert isinstance(note, Deferral)
    assert note.record.headers == (("empty", b""),)


def test_a_note_stands_at_its_kafka_offset() -> None:
    assert deferral_of(SHARD, as_read(written(Tombstone(17)), offset=99)) == Written(99, Tombstone(17))
