"""A mail as bytes for SMTP (RFC 5322, RFC 2045). Pure: the same arguments give the same bytes."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from hashlib import blake2b

from domain.errors import HeraldError
from domain.ports import Mail

_MAILBOX = re.compile(r"(?:(?P<name>[^<>]*?)\s*<(?P<inner>[^<>]*)>|(?P<bare>[^<>]*))\Z")
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9.-]+\Z"
)
_LINE_BREAKERS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_LONGEST_WORD = 60  # a longer one would be folded to a line of its own, with a blank before it


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Who a mail is from: an ASCII address, and a name or an empty one."""

    name: str
    address: str

    @classmethod
    def parse(cls, text: str) -> "Mailbox":
        """From `address` or `Name <address>`. Raises `HeraldError`."""
        match = _MAILBOX.match(text.strip())
        address = (match["inner"] or match["bare"] or "").strip() if match else ""
        if match is None or not _ADDRESS.match(address):
            raise HeraldError(
                f"smtp.sender {text!r} is not an address: write Name <address>, its domain in ASCII (xn--...)"
            )
        return cls(_LINE_BREAKERS.sub(" ", match["name"] or "").strip('" '), address)

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    @property
    def header(self) -> str:
        """As a From header has it: an international name encoded (RFC 2047)."""
        return formataddr((self.name, self.address))


def build(mail: Mail, sender: Mailbox, to: str, *, eight_bit: bool) -> bytes:
    """The whole message with CRLF, not yet dot-stuffed.

    `to`: as the envelope has it; beyond ASCII only over SMTPUTF8. `eight_bit`: 8BITMIME is offered; else
    the bodies are 7 bit. Raises ValueError for texts that have no UTF-8 form.
    """
    headers = (
        f"From: {sender.header}",
        f"To: {_one_line(to)}",
        f"Subject: {_subject(mail.subject)}",
        f"Date: {format_datetime(datetime.fromtimestamp(mail.date, UTC))}",
        f"Message-ID: {_one_line(mail.message_id)}",
        "Auto-Submitted: auto-generated",
    )
    return "".join(f"{header}\r\n" for header in headers).encode() + _bodies(mail, eight_bit=eight_bit)


def _bodies(mail: Mail, *, eight_bit: bool) -> bytes:
    content = EmailMessage(policy=SMTP.clone(cte_type="8bit" if eight_bit else "7bit"))
    content.set_content(mail.text)
    content.add_alternative(mail.html, subtype="html")
    content.set_boundary(_boundary(mail))
    return content.as_bytes()


def _boundary(mail: Mail) -> str:
    """A digest of the bodies cannot stand in them, so nobody who writes them can end a part."""
    digest = blake2b(f"{mail.message_id}\0{mail.text}\0{mail.html}".encode(), digest_size=16)
    return f"=_{digest.hexdigest()}"


def _subject(text: str) -> str:
    line = _one_line(text)
    is_plain = line.isascii() and "=?" not in line and max(map(len, line.split(" "))) < _LONGEST_WORD
    return Header(line, "us-ascii" if is_plain else "utf-8", header_name="Subject").encode(linesep="\r\n")


def _one_line(text: str) -> str:
    """Whatever a text says, it cannot begin another header."""
    return _LINE_BREAKERS.sub(" ", text).strip()
