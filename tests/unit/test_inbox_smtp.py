import asyncio
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import pytest

from entrypoints.inbox import Inbox, InboxOptions
from tests.plain_client import plain_client

OPTIONS = InboxOptions(smtp_port=0, sms_port=0, http_port=0, mail_bytes=200_000)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with Inbox(OPTIONS) as running:
        yield running


async def emails(inbox: Inbox) -> list[dict[str, str]]:
    async with plain_client(f"http://127.0.0.1:{inbox.ports.http}") as client:
        answer = await client.get("/api/v1/inbox", params={"limit": 10_000})
    shown: list[dict[str, str]] = answer.json()["emails"]
    return shown


class RawClient:
    """Speaks SMTP byte by byte, so that a test can break the rules."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, line: bytes) -> str:
        self.writer.write(line)
        return await self.answer()

    async def answer(self) -> str:
        lines = [await self.reader.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(await self.reader.readline())
        return b"".join(lines).decode()


@pytest.fixture
async def client(inbox: Inbox) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", inbox.ports.smtp)
    raw = RawClient(reader, writer)
    await raw.answer()
    yield raw
    writer.close()
    await writer.wait_closed()


async def begin_mail(client: RawClient) -> None:
    await client.say(b"EHLO me\r\n")
    await client.say(b"MAIL FROM:<s@example.com>\r\n")
    await client.say(b"RCPT TO:<r@example.com>\r\n")
    await client.say(b"DATA\r\n")


async def test_a_mail_sent_with_a_usual_client_is_shown(inbox: Inbox) -> None:
    message = EmailMessage()
    message["From"] = "Herald <no-reply@herald.localhost>"
    message["To"] = "customer@example.com"
    message["Subject"] = "Grüße"
    message["Message-ID"] = "<1@herald.localhost>"
    message.set_content("Körper\n.dotted\n..twice\n")
    await aiosmtplib.send(message, hostname="127.0.0.1", port=inbox.ports.smtp)
    [mail] = await emails(inbox)

    assert mail["from"] == "Herald <no-reply@herald.localhost>"
    assert mail["to"] == "customer@example.com"
    assert mail["subject"] == "Grüße"
    assert mail["text"] == "Körper\n.dotted\n..twice\n"
    assert mail["message_id"] == "<1@herald.localhost>"


async def test_the_server_says_what_it_can_do(client: RawClient) -> None:
    answer = await client.say(b"EHLO me\r\n")

    assert "250-SIZE 200000" in answer
    assert "250-8BITMIME" in answer
    assert "250-SMTPUTF8" in answer
    assert "250-AUTH" in answer


@pytest.mark.parametrize("method", ["auth_plain", "auth_login"])
async def test_any_credentials_are_accepted(inbox: Inbox, method: str) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        authenticate: Any = getattr(smtp, method)
        code, _ = await authenticate("anyone", "anything")

    assert code == 235


async def test_an_international_address_is_taken_at_its_full_length(inbox: Inbox) -> None:
    address = "ü" * 240 + "@bücher.example"
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        await smtp.mail("s@example.com", options=["SMTPUTF8"])
        await smtp.rcpt(address, encoding="utf-8")
        await smtp.data(b"Subject: x\r\n\r\nbody\r\n")
    [mail] = await emails(inbox)

    assert mail["to"] == address


async def test_another_connection_does_not_shorten_the_commands_of_an_earlier_one(
    inbox: Inbox, client: RawClient
) -> None:
    await client.say(b"EHLO me\r\n")
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp):
        answer = await client.say(
            b"MAIL FROM:<" + b"s" * 900 + b"@example.com> SIZE=100 BODY=8BITMIME SMTPUTF8\r\n"
        )

    assert answer.startswith("250")


async def test_several_recipients_of_one_mail_make_one_entry(inbox: Inbox) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        await smtp.sendmail("s@example.com", ["a@example.com", "b@example.com"], b"Subject: x\r\n\r\n")
    [mail] = await emails(inbox)

    assert mail["to"] == "a@example.com, b@example.com"


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (b"\r\n.\r\n", ""),
        (b".\r\n", ""),
        (b"\r\n..\r\n.\r\n", ".\n"),
        (b"\r\nends with a dot.\r\n.\r\n", "ends with a dot.\n"),
        (b"\r\n...\r\n..x.\r\n.\r\n", "..\n.x.\n"),
        (b"\r\nbare\n.\nline feeds\r\n.\r\n", "bare\n.\nline feeds\n"),
        (b"\r\n" + b"long " * 30_000 + b"\r\n.\r\n", "long " * 30_000 + "\n"),
    ],
)
async def test_the_lone_dot_ends_a_mail_and_nothing_else(
    inbox: Inbox, client: RawClient, sent: bytes, text: str
) -> None:
    await begin_mail(client)
    answer = await client.say(sent)
    [mail] = await emails(inbox)

    assert answer.startswith("250")
    assert mail["text"] == text


async def test_a_mail_that_comes_in_pieces_is_put_together(inbox: Inbox, client: RawClient) -> None:
    await begin_mail(client)
    for piece in (b"Subject: x\r\n\r\nbo", b"dy\r", b"\n.", b"\r"):
        client.writer.write(piece)
        await client.writer.drain()
        await asyncio.sleep(0)
    answer = await client.say(b"\n")
    [mail] = await emails(inbox)

    assert answer.startswith("250")
    assert mail["text"] == "body\n"


@pytest.mark.parametrize("line", [b"x" * 70 + b"\r\n", b"x" * 140_000 + b"\r\n"])
async def test_a_mail_beyond_the_size_limit_is_refused_and_the_next_one_is_taken(
    inbox: Inbox, client: RawClient, line: bytes
) -> None:
    await begin_mail(client)
    refused = await client.say(line * (300_000 // len(line)) + b".\r\n")
    await client.say(b"MAIL FROM:<s@example.com>\r\n")
    await client.say(b"RCPT TO:<r@example.com>\r\n")
    await client.say(b"DATA\r\n")
    taken = await client.say(b"\r\nsmall\r\n.\r\n")
    [mail] = await emails(inbox)

    assert refused.startswith("552")
    assert taken.startswith("250")
    assert mail["text"] == "small\n"


async def test_a_mail_that_says_it_is_too_large_is_refused_at_once(client: RawClient) -> None:
    await client.say(b"EHLO me\r\n")

    assert (await client.say(b"MAIL FROM:<s@example.com> SIZE=200001\r\n")).startswith("552")


@pytest.mark.parametrize(
    ("before", "line", "code"),
    [
        ([], b"DATA\r\n", "503"),
        ([], b"MAIL FROM:<s@example.com>\r\n", "503"),
        ([b"EHLO me\r\n"], b"DATA\r\n", "503"),
        ([b"EHLO me\r\n"], b"RCPT TO:<r@example.com>\r\n", "503"),
        ([b"EHLO me\r\n"], b"MAIL FROM:<a b@@>\r\n", "553"),
        ([b"EHLO me\r\n"], b"\xff\xfe\r\n", "500"),
        ([b"EHLO me\r\n"], b"\r\n", "500"),
        ([b"EHLO me\r\n"], b"x" * 200_000 + b"\r\n", "500"),
        ([b"EHLO me\r\n"], b"MAIL FROM:<" + b"x" * 5000 + b"@example.com>\r\n", "500"),
        (
            [b"EHLO me\r\n", b"MAIL FROM:<s@example.com>\r\n", b"RCPT TO:<r@example.com>\r\n"],
            b"DATA now\r\n",
            "501",
        ),
    ],
)
async def test_a_wrong_command_is_refused_and_the_connection_stays(
    client: RawClient, before: list[bytes], line: bytes, code: str
) -> None:
    for command in before:
        await client.say(command)
    answer = await client.say(line)
    after = await client.say(b"NOOP\r\n")

    assert answer.startswith(code)
    assert after.startswith("250")


async def test_an_address_that_breaks_the_parser_costs_only_that_command(
    inbox: Inbox, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    await client.say(b"EHLO me\r\n")
    answer = await client.say(b"MAIL FROM:<@\r\n")
    after = await client.say(b"NOOP\r\n")

    assert answer[0] in "45"
    assert after.startswith("250")
    assert "@" not in caplog.text


async def test_a_client_that_goes_in_the_middle_of_a_mail_has_sent_nothing(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", inbox.ports.smtp)
    leaver = RawClient(reader, writer)
    await leaver.answer()
    await begin_mail(leaver)
    writer.write(b"Subject: half\r\n\r\nof a mail\r\n")
    writer.close()
    await writer.wait_closed()
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        await smtp.sendmail("s@example.com", ["a@example.com"], b"Subject: whole\r\n\r\n")

    assert [mail["subject"] for mail in await emails(inbox)] == ["whole"]
    assert caplog.records == []


async def test_no_address_and_no_body_reaches_the_log(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
        await smtp.sendmail("secret@example.com", ["hidden@example.com"], b"Subject: x\r\n\r\nprivate")
        await smtp.execute_command(b"WHAT", b"hidden@example.com")

    assert "secret@" not in caplog.text
    assert "hidden@" not in caplog.text
    assert "private" not in caplog.text


async def test_a_thousand_mails_over_sixteen_connections_all_arrive(inbox: Inbox) -> None:
    async def send(connection: int) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.ports.smtp) as smtp:
            for number in range(connection, 1000, 16):
                await smtp.mail("s@example.com")
                await smtp.rcpt(f"r{number}@example.com")
                await smtp.data(b"Subject: %d\r\n\r\nbody\r\n" % number)

    await asyncio.gather(*(send(connection) for connection in range(16)))
    arrived = await emails(inbox)

    assert sorted(int(mail["subject"]) for mail in arrived) == list(range(1000))
    assert all(mail["to"] == f"r{mail['subject']}@example.com" for mail in arrived)
