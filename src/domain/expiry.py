"""Until when a message may be sent."""

from domain.message import Message, parse_time


def expiry_of(message: Message, taken_at: float, expires_after_seconds: int) -> float | None:
    """In epoch seconds, or None for never. Its own `expires_at` goes before its topic's rule.

    `taken_at`: when the log took it. An `expires_at` that is no time is refused when the message is checked.
    """
    own = parse_time(message.expires_at) if message.expires_at else None
    if own is not None:
        return own.timestamp()
    return taken_at + expires_after_seconds if expires_after_seconds else None
