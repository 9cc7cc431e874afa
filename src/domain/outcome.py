"""What came of one try to deliver. Senders answer one of these and never raise for what a provider says."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Delivered:
    """The provider accepted the message. `provider_id` is its name for it, or empty."""

    provider_id: str = ""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """This message failed for now. `after`: seconds the provider asked us to wait at least."""

    reason: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """This message will never be accepted."""

    reason: str


@dataclass(frozen=True, slots=True)
class ChannelDown:
    """The provider does not work for anyone: not this message's fault.

    `certain`: one such answer is enough to stop (wrong credentials); otherwise a few in a row are needed.
    """

    reason: str
    after: float = 0.0
    certain: bool = False


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The answer was lost after the provider may have taken the message."""

    reason: str


Outcome = Delivered | TryAgain | Refused | ChannelDown | Uncertain


class DeadLetterReason(StrEnum):
    """Why a message became a dead letter."""

    REFUSED = "refused"  # the provider said: never
    UNDECODABLE = "undecodable"  # the record's value is not a message
    INVALID = "invalid"  # a message, but one that breaks a rule this channel depends on
    TOO_MANY_ATTEMPTS = "too-many-attempts"  # it failed for now, too often
    UNCERTAIN = "uncertain"  # its answer was lost too often
    REQUEST_ID_REUSED = "request-id-reused"  # another message of the shard has its id, with other content
