"""What is wrong with a message for one channel: its recipient there and the texts it would show."""

from domain.message import AddressFault, Message, field_fault

_SHOWN = ("topic_name", "message_body", "transaction_id", "customer_id")


def channel_fault(message: Message, recipient: str, address_fault: AddressFault) -> str | None:
    """Each wrong field with what is wrong with it, none of its content; None when nothing is.

    `recipient` names the channel's own field: the other channel's bad address is not this one's business.
    """
    wrong = [
        f"{name} {detail}"
        for name in (*_SHOWN, recipient)
        if (detail := field_fault(name, getattr(message, name), address_fault))
    ]
    return "; ".join(wrong) or None
