"""The floor of a mail sender: `python -m benchmarks.bare_mail PORT CONNECTIONS COUNT`.

A bare aiosmtplib loop over kept connections: the bytes of every mail are there before it begins, and it
calls `mail`, `rcpt` and `data`. No log, no order, no ledger, no retry.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Iterator

from aiosmtplib import SMTP

from adapters.jinja_templates import JinjaTemplates
from adapters.smtp_message import Mailbox, build
from application.notify_email import message_id
from benchmarks.fill import notification
from benchmarks.site import KEYS
from domain.ports import Mail
from entrypoints.settings_model import Settings


def _mails(count: int, sender: Mailbox) -> Iterator[tuple[str, bytes]]:
    """Each mail's recipient and bytes, the same as Herald's."""
    templates = JinjaTemplates()
    for number in range(count):
        message = notification(number, f"customer-{number % KEYS}", "bare-mail")
        subject, text, html = templates.mail(message)
        mail = Mail(
            to=message.email or "",
            subject=subject,
            text=text,
            html=html,
            message_id=message_id(message, sender.domain),
            date=time.time(),
        )
        yield mail.to, build(mail, sender, mail.to, eight_bit=True)


async def _send(port: int, sender: str, mails: Iterator[tuple[str, bytes]]) -> None:
    async with SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        await client.ehlo()
        for to, message in mails:
            await client.mail(sender)
            await client.rcpt(to)
            await client.data(message)


async def _run(port: int, connections: int, count: int) -> None:
    sender = Mailbox.parse(Settings().smtp.sender)
    mails = list(_mails(count, sender))
    gc.collect()
    gc.freeze()
    rest = iter(mails)
    await asyncio.gather(*(_send(port, sender.address, rest) for _ in range(connections)))


if __name__ == "__main__":
    asyncio.run(_run(*map(int, sys.argv[1:])))
