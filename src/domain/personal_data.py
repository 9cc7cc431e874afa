"""Hides addresses and numbers in a text that a person or a log file will keep."""

import re

_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"'@]+@[^\s<>()\[\],;:\"'@]+")
_NUMBER = re.compile(r"(?<![\w.])(?:\+|%2B)?[1-9]\d{6,14}(?![\w])")


def mask(text: str) -> str:
    """The text with every mail address and phone number replaced by stars.

    A number is a run of 7 to 15 digits that stands alone, with or without `+`: rather a hidden
    counter than a shown customer.
    """
    return _NUMBER.sub("***", _ADDRESS.sub("***@***", text))


_CALLABLE = re.compile(r"(?:\+|%2B)[1-9]\d{6,14}(?!\d)")


def mask_addresses(text: str) -> str:
    """The text with every mail address and every number with its `+` replaced by stars.

    For what is a name and seldom a customer: digits alone stay.
    """
    return _CALLABLE.sub("***", _ADDRESS.sub("***@***", text))
