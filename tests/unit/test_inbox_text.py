import pytest

from entrypoints.inbox_store import ReceivedText
from entrypoints.inbox_text import Segments, segments_of, text_row


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ("a" * 160, Segments("GSM-7", 160, 1)),
        ("a" * 161, Segments("GSM-7", 161, 2)),
        ("a" * 307, Segments("GSM-7", 307, 3)),
        ("€" * 80, Segments("GSM-7", 160, 1)),
        ("€" * 81, Segments("GSM-7", 162, 2)),
        ("ж" * 70, Segments("UCS-2", 70, 1)),
        ("ж" * 71, Segments("UCS-2", 71, 2)),
        ("😀" * 35, Segments("UCS-2", 70, 1)),
        ("\udcff", Segments("UCS-2", 1, 1)),
        ("", Segments("GSM-7", 0, 1)),
    ],
)
def test_a_text_is_counted_as_carriers_do(body: str, segments: Segments) -> None:
    assert segments_of(body) == segments


def test_the_first_line_of_a_text_stands_where_a_mail_has_its_subject() -> None:
    text = ReceivedText(
        sid="SM1", sender="+1", recipient="+2", body="\nPaid\nThank  you\n", idempotency_key=None, at=0.0
    )

    assert (text_row(text)["subject"], text_row(text)["snippet"]) == ("Paid", "Thank you")
