"""Mails as bytes."""

from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.smtp_message import Mailbox, build
from domain.errors import HeraldError
from domain.ports import Mail

SENDER = Mailbox("Herald", "no-reply@herald.localhost")
RFC_2047_LINE = 76


def mail(
    subject: str = "Transaction Successful",
    text: str = "Paid\n",
    html: str = "<p>Paid</p>",
    message_id: str = "<r1.t@herald.localhost>",
) -> Mail:
    return Mail(
        to="jo@example.org",
        subject=subject,
        text=text,
        html=html,
        message_id=message_id,
        date=1_800_000_000.0,
    )


def parsed(data: bytes) -> EmailMessage:
    return BytesParser(policy=default).parsebytes(data)


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert isinstance(part, EmailMessage)
    return str(part.get_content()).replace("\r\n", "\n")


def test_a_mail_has_every_header_that_a_server_wants() -> None:
    message = parsed(build(mail(), SENDER, "jo@example.org", eight_bit=True))

    assert message["From"] == "Herald <no-reply@herald.localhost>"
    assert message["To"] == "jo@example.org"
    assert message["Subject"] == "Transaction Successful"
    assert message["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert message["Message-ID"] == "<r1.t@herald.localhost>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["MIME-Version"] == "1.0"
    assert message.get_content_type() == "multipart/alternative"


def test_text_and_html_come_back_as_they_were() -> None:
    text, html = "Grüße €\n.\n.dot\n\nlong " + "x" * 3000 + "\n", "<p>ü</p>\n"

    eight = parsed(build(mail(text=text, html=html), SENDER, "jo@example.org", eight_bit=True))
    seven = parsed(build(mail(text=text, html=html), SENDER, "jo@example.org", eight_bit=False))

    assert body(eight, "plain") == body(seven, "plain") == text
    assert body(eight, "html") == body(seven, "html") == html


def test_without_8bitmime_every_byte_is_ascii() -> None:
    data = build(mail(text="ü\n", html="<p>ü</p>", subject="ü"), SENDER, "jo@example.org", eight_bit=False)

    assert data.isascii()


@pytest.mark.parametrize("eight_bit", [True, False])
def test_every_line_ends_with_crlf_and_is_short_enough(eight_bit: bool) -> None:  # noqa: FBT001 - a parameter
    texts = "a\nb\n" + "ü" * 5000 + "\n" + "y" * 5000

    data = build(
        mail(text=texts, html=texts, subject="s" * 5000, message_id=f"<{'i' * 600}@x.test>"),
        SENDER,
        "jo@example.org",
        eight_bit=eight_bit,
    )

    assert data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert data.endswith(b"\r\n")


@pytest.mark.parametrize(
    "subject",
    [
        "Überweisung erfolgreich " * 10,
        "=?utf-8?q?fake?=",
        "€",
        "a" * 300,
        "word " * 60 + "end",
        "日本語" * 50,
    ],
)
def test_a_subject_of_any_script_comes_back_whole_on_one_line(subject: str) -> None:
    message = parsed(build(mail(subject=subject), SENDER, "jo@example.org", eight_bit=True))

    assert message["Subject"] == subject.strip()


@pytest.mark.parametrize("breaker", ["\n", "\r\n", "\r", "\x00", "\x0b", "\x85", "\u2028", "\n\n"])
def test_no_header_can_be_slipped_in(breaker: str) -> None:
    evil = f"a{breaker}Bcc: spy@example.org"

    message = parsed(
        build(
            mail(subject=evil, message_id=f"<{evil}>"),
            SENDER,
            f"jo@example.org{breaker}Cc: x@y",
            eight_bit=True,
        )
    )

    assert message["Bcc"] is None
    assert message["Cc"] is None
    assert message["Subject"] == "a Bcc: spy@example.org"


def test_an_international_recipient_stands_in_the_header_in_utf_8() -> None:
    data = build(mail(), SENDER, "jörg@bücher.example", eight_bit=True)

    assert "\r\nTo: jörg@bücher.example\r\n".encode() in data


def test_a_body_cannot_end_its_part() -> None:
    first = build(mail(), SENDER, "jo@example.org", eight_bit=True)
    boundary = parsed(first).get_boundary()

    message = parsed(
        build(mail(text=f"--{boundary}--\n--{boundary}\n"), SENDER, "jo@example.org", eight_bit=True)
    )

    assert boundary
    assert len(list(message.iter_parts())) == 2


def test_the_same_mail_gives_the_same_bytes() -> None:
    assert build(mail(), SENDER, "a@b.test", eight_bit=True) == build(
        mail(), SENDER, "a@b.test", eight_bit=True
    )


def test_a_text_without_a_utf_8_form_is_told_apart() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        build(mail(text="\ud800"), SENDER, "jo@example.org", eight_bit=True)


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.sampled_from("ab .-=\n\tü€日\x0b\u2028") | st.characters(exclude_categories=["Cs", "Cc"])),
    st.booleans(),
    st.integers(min_value=1, max_value=600),
)
def test_any_text_comes_back_as_it_was_in_lines_that_servers_take(
    text: str,
    eight_bit: bool,  # noqa: FBT001 - drawn
    times: int,
) -> None:
    written = mail(text=text * times, html=f"<p>{text * times}</p>")

    data = build(written, SENDER, "jo@example.org", eight_bit=eight_bit)

    lines = data.split(b"\r\n")
    assert body(parsed(data), "plain").removesuffix("\n") == written.text.removesuffix("\n")
    assert body(parsed(data), "html").removesuffix("\n") == written.html.removesuffix("\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert eight_bit or data.isascii()


@pytest.mark.parametrize(
    ("text", "eight_bit", "encoding"),
    [
        ("Paid\n", False, "7bit"),
        ("x" * 998, False, "7bit"),
        ("x" * 999, True, "quoted-printable"),
        ("Grüße\n", True, "8bit"),
        ("Grüße an alle\n", False, "quoted-printable"),
        ("日本語" * 20, False, "base64"),
    ],
)
def test_a_body_is_encoded_only_as_far_as_its_lines_and_the_server_ask_for_it(
    text: str,
    eight_bit: bool,  # noqa: FBT001 - a parameter
    encoding: str,
) -> None:
    message = parsed(build(mail(text=text), SENDER, "jo@example.org", eight_bit=eight_bit))

    part = message.get_body(("plain",))

    assert part is not None
    assert part["Content-Transfer-Encoding"] == encoding


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_any_subject_stays_one_header(subject: str) -> None:
    message = parsed(build(mail(subject=subject), SENDER, "jo@example.org", eight_bit=True))

    assert message.keys() == [
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
    ]


@pytest.mark.parametrize(
    ("text", "header", "domain"),
    [
        ("no-reply@herald.localhost", "no-reply@herald.localhost", "herald.localhost"),
        ("<a@localhost>", "a@localhost", "localhost"),
        ("Herald <no-reply@x.test>", "Herald <no-reply@x.test>", "x.test"),
        ('"Kiosk, Inc." <a@x.test>', '"Kiosk, Inc." <a@x.test>', "x.test"),
        ("Kiosk, Inc. <a@x.test>", '"Kiosk, Inc." <a@x.test>', "x.test"),
        ("Käthe\r\nBcc: x <a@x.test>", "=?utf-8?q?K=C3=A4the_Bcc=3A_x?= <a@x.test>", "x.test"),
    ],
)
def test_a_sender_is_read_with_or_without_a_name(text: str, header: str, domain: str) -> None:
    sender = Mailbox.parse(text)

    assert sender.header == header
    assert sender.domain == domain


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=80, max_size=400))
def test_no_line_of_a_subject_in_encoded_words_is_too_long(subject: str) -> None:
    built = build(mail(subject="ß" + subject), SENDER, "jo@example.org", eight_bit=True)
    field = built[built.index(b"Subject:") : built.index(b"\r\nDate:")]

    assert max(map(len, field.split(b"\r\n"))) <= RFC_2047_LINE


@pytest.mark.parametrize("name", ["Größte " * 20, "Ö" * 120, "Bank of Österreich"])
def test_a_senders_international_name_is_folded_into_words_that_mail_programs_read(name: str) -> None:
    sender = Mailbox.parse(f"{name.strip()} <no-reply@x.test>")

    built = build(mail(), sender, "jo@example.org", eight_bit=True)
    field = built[: built.index(b"\r\nTo:")]

    assert max(map(len, field.split(b"\r\n"))) <= RFC_2047_LINE
    read = str(make_header(decode_header(field.decode().removeprefix("From: ").replace("\r\n", ""))))
    assert read == f"{name.strip()} <no-reply@x.test>"


@pytest.mark.parametrize(
    "text", ["", "Herald", "Herald <>", "a@b <", "a@b c@d", "a@bücher.de", "a..b@c.de", "<a@b> x"]
)
def test_a_sender_that_is_no_address_is_one_clear_line(text: str) -> None:
    with pytest.raises(HeraldError, match=r"^smtp.sender .* is not an address: write Name <address>, .*"):
        Mailbox.parse(text)
