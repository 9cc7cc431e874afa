"""The email channel: a message becomes one mail, "Transaction Successful" unless templates say otherwise."""

import re

from application.channel_fault import channel_fault
from domain.errors import HeraldError
from domain.message import AddressFault, Message
from domain.outcome import Outcome, TryAgain
from domain.ports import Clock, EmailSender, Mail, Templates

# RFC 5322, 3.2.3: a dot-atom neither begins nor ends with a dot and has no two in a row.
_MISPLACED_DOT = re.compile(r"^\.|\.$|(?<=\.)\.")


class NotifyByEmail:
    """Sends each message with an `email` as a mail.

    `sender_domain` (ASCII, no `@`) ends each Message-ID; `address_fault` settles addresses beyond
    plain ASCII. A template that fails is not the message's fault for good: it is tried again.
    """

    group = "email"

    def __init__(
        self,
        sender: EmailSender,
        templates: Templates,
        sender_domain: str,
        clock: Clock,
        address_fault: AddressFault,
    ) -> None:
        self._sender = sender
        self._templates = templates
        self._sender_domain = sender_domain
        self._clock = clock
        self._address_fault = address_fault

    def is_for(self, message: Message) -> bool:
        return bool(message.email)

    def fault(self, message: Message) -> str | None:
        return channel_fault(message, "email", self._address_fault)

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        try:
            mail = self._mail(message)
        except HeraldError as error:
            return TryAgain(str(error))
        return await self._sender.send(mail, fresh=probe)

    def _mail(self, message: Message) -> Mail:
        subject, text, html = self._templates.mail(message)
        return Mail(
            to=message.email or "",
            subject=subject,
            text=text,
            html=html,
            message_id=message_id(message, self._sender_domain),
            date=self._clock.now(),
        )


def message_id(message: Message, domain: str) -> str:
    """`<{request_id}.{topic}@{domain}>`, the same on every try: receivers may tell a repeat by it.

    What a dot-atom (RFC 5322, 3.2.3) does not take is written as `=` and its code: `=3A`, `=2E`.
    """
    return f"<{_atoms(message.request_id)}.{_atoms(message.topic_name)}@{domain}>"


def _atoms(text: str) -> str:
    return _MISPLACED_DOT.sub("=2E", text).replace(":", "=3A")
