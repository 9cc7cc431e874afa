import pytest

from domain.dead_letter import REPLAY, DeadLetter, LetterPlace, kept_letter, parse_id, parse_place
from domain.log import Record, Shard
from domain.outcome import DeadLetterReason


@pytest.mark.parametrize(
    "text", ["", "~", "1~", "nan~t.email-0-1", "1e5~t.email-0-1", "1.5~t-0-1", "1.5~t.email-0", "1.5~t.e-0-x"]
)
def test_what_is_no_place_is_told_from_one(text: str) -> None:
    assert parse_place(text) is None


def test_a_topic_s_name_may_have_dots_and_dashes() -> None:
    assert parse_id("a.b-1.email-0-12") == LetterPlace(0.0, "a.b-1", "email", 0, 12)


@pytest.mark.parametrize("given", [b"9" * 5000, b"-1", b"two", b""])
def test_a_count_of_replays_that_herald_did_not_write_counts_for_none(given: bytes) -> None:
    letter = DeadLetter(
        record=Record(Shard("t", 0), 1, None, b"{}", ((REPLAY, given),), 0.0),
        group="email",
        reason=DeadLetterReason.REFUSED,
        error="550",
        attempts=1,
        failed_at=1.0,
    )

    assert kept_letter(letter, "r-1", []).replays == 0
