"""The SMS channel: a message becomes one text, "Transaction Successful" unless templates say otherwise."""

from application.channel_fault import channel_fault
from domain.errors import HeraldError
from domain.message import Message
from domain.outcome import Outcome, TryAgain
from domain.ports import SmsSender, Templates, Text


class NotifyBySms:
    """Sends each message with a `phone` as a text.

    A template that fails is not the message's fault for good: it is tried again.
    """

    group = "sms"

    def __init__(self, sender: SmsSender, templates: Templates) -> None:
        self._sender = sender
        self._templates = templates

    def is_for(self, message: Message) -> bool:
        return bool(message.phone)

    def fault(self, message: Message) -> str | None:
        return channel_fault(message, "phone", _no_address_is_asked)

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        try:
            body = self._templates.text(message)
        except HeraldError as error:
            return TryAgain(str(error))
        return await self._sender.send(
            Text(to=message.phone or "", body=body, idempotency_key=idempotency_key(message)), fresh=probe
        )


def idempotency_key(message: Message) -> str:
    """`{request_id}.{topic}`, the same on every try, so that a provider may tell a repeat."""
    return f"{message.request_id}.{message.topic_name}"


def _no_address_is_asked(_address: str) -> None:
    return None
