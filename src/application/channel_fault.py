"""What is wrong with a message for one channel: its recipient there and the texts it would show."""

from domain.message import AddressFault, Message, wrong_fields


def channel_fault(message: Message, recipient: str, address_fault: AddressFault) -> str | None:
    """Each wrong field with what is wrong with it, none of its content; None when nothing is.

    `recipient` names the channel's own field: the other channel's bad address is not this one's business.
    """
    seen = {
        "topic_name": message.topic_name,
        "message_body": message.message_body,
        "transaction_id": message.transaction_id,
        "customer_id": message.customer_id,
        recipient: getattr(message, recipient),
    }
    errors = wrong_fields(seen, address_fault)
    return "; ".join(f"{error.pointer.removeprefix('#/')} {error.detail}" for error in errors) or None
