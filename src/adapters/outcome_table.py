"""What the tables from a provider's answers to outcomes are made of.

A cell of a table is `any`, or what fits, parted by commas. In codes a letter stands for any digits, as RFC
5321 and RFC 3463 write them: `4yz`, `x.3.z`. docs/reference/delivery.md shows the tables as they stand here.
"""

import re
from enum import StrEnum
from functools import lru_cache

from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.personal_data import mask

ANY = "any"
_REASON_LIMIT = 200
_CODE = re.compile(r"[\dxyz.]+")


class Meaning(StrEnum):
    """What an answer counts as, in the words of docs/reference/delivery.md."""

    SENT = "sent"
    FAILED_FOR_NOW = "failed for now"
    REFUSED = "refused"
    DOWN = "channel down"
    DOWN_AT_ONCE = "channel down at once"
    UNCERTAIN = "uncertain"


def fits(cell: str, value: str) -> bool:
    return cell == ANY or any(_pattern(word).fullmatch(value) for word in cell.split(", "))


@lru_cache(maxsize=256)
def _pattern(word: str) -> re.Pattern[str]:
    if not _CODE.fullmatch(word):
        return re.compile(re.escape(word))
    digits = "[0-9]{1,3}" if "." in word else "[0-9]"
    return re.compile("".join(digits if char in "xyz" else re.escape(char) for char in word))


def outcome_of(meaning: Meaning, reason: str, after: float = 0.0) -> Outcome:
    """`reason`: for `SENT` the provider's name for the message."""
    match meaning:
        case Meaning.SENT:
            return Delivered(reason)
        case Meaning.FAILED_FOR_NOW:
            return TryAgain(reason, after)
        case Meaning.REFUSED:
            return Refused(reason)
        case Meaning.UNCERTAIN:
            return Uncertain(reason)
        case _:
            return ChannelDown(reason, after, certain=meaning is Meaning.DOWN_AT_ONCE)


def said(text: str) -> str:
    """A provider's words as one short line without addresses and numbers, and safe to store as UTF-8."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return "".join(char for char in mask(line) if char.isprintable())[:_REASON_LIMIT]
