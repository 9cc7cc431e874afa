import pytest

from domain.dead_letter import LetterPlace, parse_id, parse_place


@pytest.mark.parametrize(
    "text", ["", "~", "1~", "nan~t.email-0-1", "1e5~t.email-0-1", "1.5~t-0-1", "1.5~t.email-0", "1.5~t.e-0-x"]
)
def test_what_is_no_place_is_told_from_one(text: str) -> None:
    assert parse_place(text) is None


def test_a_topic_s_name_may_have_dots_and_dashes() -> None:
    assert parse_id("a.b-1.email-0-12") == LetterPlace(0.0, "a.b-1", "email", 0, 12)
