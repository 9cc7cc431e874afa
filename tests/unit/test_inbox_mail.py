import base64
import json

import pytest

from entrypoints.inbox_mail import mail_view
from entrypoints.inbox_store import ReceivedMail


def shown(raw: bytes, recipients: tuple[str, ...] = ("a@example.com",)) -> dict[str, str]:
    mail = ReceivedMail(sender="envelope@example.com", recipients=recipients, at=1_800_000_000.25, raw=raw)
    fields: dict[str, str] = json.loads(mail_view(mail).whole)
    return fields


def test_a_mail_of_text_and_html_is_shown_with_all_its_fields() -> None:
    raw = (
        b"From: Herald <no-reply@herald.localhost>\r\nTo: ignored@example.com\r\n"
        b"Subject: Transaction Successful\r\nMessage-ID: <1@herald.localhost>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\nline two\r\n"
        b"--b\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode("<p>Grüße</p>".encode())
        + b"\r\n--b--\r\n"
    )

    assert shown(raw) == {
        "from": "Herald <no-reply@herald.localhost>",
        "to": "a@example.com",
        "subject": "Transaction Successful",
        "text": "Grüße\nline two",
        "html": "<p>Grüße</p>",
        "message_id": "<1@herald.localhost>",
        "at": "2027-01-15T08:00:00.250Z",
    }


def test_several_recipients_are_parted_by_commas() -> None:
    fields = shown(b"Subject: x\r\n\r\n", ("a@example.com", "b@example.com"))

    assert fields["to"] == "a@example.com, b@example.com"


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?utf-8?b?R3LDvMOf?= =?utf-8?b?ZQ==?=", "Grüße"),
        (b"plain =?iso-8859-1?q?caf=E9?= again", "plain café again"),
        ("roh: Grüße".encode(), "roh: Grüße"),
        ("gemischt Grüße =?utf-8?q?=E2=82=AC?=".encode(), "gemischt Grüße €"),
        (b"folded\r\n\tover lines", "folded\tover lines"),
        (b"=?nonsense?q?caf=C3=A9?=", "café"),
        (b"=?utf-8?b?!!!!?=", "=?utf-8?b?!!!!?="),
        (b"what =? is that", "what =? is that"),
        (b"=?utf-8?b?A?=", "=?utf-8?b?A?="),
        (b"\xff\xfe", "��"),
    ],
)
def test_a_subject_is_decoded_as_well_as_possible(header: bytes, subject: str) -> None:
    assert shown(b"Subject: " + header + b"\r\n\r\nbody")["subject"] == subject


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"no headers at all, just text", "no headers at all, just text"),
        (b"\r\n\xff\xfejunk", "ÿþjunk"),
        (b"Content-Type: text/plain; charset=unheard-of\r\n\r\nGr\xc3\xbc\xc3\x9fe", "Grüße"),
        (b"Content-Type: text/plain; charset=ascii\r\n\r\nGr\xc3\xbc\xc3\x9fe", "Grüße"),
        (b"Content-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9", "café"),
        (b"Content-Transfer-Encoding: base64\r\n\r\n@@@ not base64", "@@@ not base64"),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", ""),
        (b'Content-Type: text/html; charset="utf-8\r\n\r\n<p>x</p>', ""),
        (b"Content-Disposition: attachment\r\n\r\nhidden", ""),
    ],
)
def test_garbage_is_shown_as_well_as_possible(raw: bytes, text: str) -> None:
    assert shown(raw)["text"] == text


def test_a_mail_that_the_parser_cannot_take_is_shown_as_it_came() -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level)
        for level in range(3000)
    )

    assert shown(deep)["text"].startswith("Content-Type: multipart/mixed")


def test_without_a_from_header_the_envelope_names_the_sender() -> None:
    assert shown(b"Subject: x\r\n\r\nbody")["from"] == "envelope@example.com"


def test_an_address_of_odd_bytes_is_shown_without_an_error() -> None:
    fields = shown(b"\r\nbody", ("\udcff@example.com", "bj\udcc3\udcb6rn@example.com"))

    assert fields["to"] == "�@example.com, björn@example.com"
