"""What the delivery engine asks of a channel. Each `NotifyBy…` is one."""

from typing import Protocol

from domain.message import Message
from domain.outcome import Outcome


class Channel(Protocol):
    """One way to reach a customer, as the delivery engine sees it."""

    group: str

    def is_for(self, message: Message) -> bool:
        """Whether the message has an address for this channel."""

    def fault(self, message: Message) -> str | None:
        """What is wrong with the message for this channel, or None."""

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        """One try; `probe` while the channel is thought to be down. Never raises for what is said."""
