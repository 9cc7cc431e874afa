"""A mail as bytes for SMTP (RFC 5322, RFC 2045). Pure: the same arguments give the same bytes."""

import re
from base64 import encodebytes
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr
from functools import lru_cache
from hashlib import blake2b

from domain.errors import HeraldError
from domain.ports import Mail

_MAILBOX = re.compile(r"(?:(?P<name>[^<>]*?)\s*<(?P<inner>[^<>]*)>|(?P<bare>[^<>]*))\Z")
_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@[A-Za-z0-9.-]+\Z"
)
_LINE_BREAKERS = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_ENCODED_LINE = 76  # the longest one with an encoded word in it, which has 75 at most (RFC 2047, 2)
_SHORT_SUBJECT = 67  # with its name a line of 76, which needs no folding
_LONGEST_WORD = 60  # a longer one would be folded to a line of its own, with a blank before it
_LONGEST_LINE = 998  # without its CRLF (RFC 5322, 2.1.1)
# Filled for each mail: the library's EmailMessage takes half a millisecond to come to the same.
_FORM = b"""\
From: %(from)b
To: %(to)b
Subject: %(subject)b
Date: %(date)b
Message-ID: %(id)b
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary="%(boundary)b"

--%(boundary)b
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: %(text_encoding)b

%(text)b
--%(boundary)b
Content-Type: text/html; charset="utf-8"
Content-Transfer-Encoding: %(html_encoding)b

%(html)b
--%(boundary)b--
""".replace(b"\n", b"\r\n")


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
        """As a From header has it: an international name in encoded words (RFC 2047)."""
        if self.name.isascii():
            return formataddr((self.name, self.address))
        header = Header(self.name, "utf-8", header_name="From")
        header.append(f"<{self.address}>", "us-ascii")
        return _folded(header)


def build(mail: Mail, sender: Mailbox, to: str, *, eight_bit: bool) -> bytes:
    """The whole message with CRLF, not yet dot-stuffed.

    `to`: as the envelope has it; beyond ASCII only over SMTPUTF8. `eight_bit`: 8BITMIME is offered; else
    the bodies are 7 bit. Raises ValueError for texts that have no UTF-8 form.
    """
    text_encoding, text = _encoded(mail.text, eight_bit=eight_bit)
    html_encoding, html = _encoded(mail.html, eight_bit=eight_bit)
    return _FORM % {
        b"from": _from(sender),
        b"to": _one_line(to).encode(),
        b"subject": _subject(mail.subject).encode(),
        b"date": _date(int(mail.date)),
        b"id": _one_line(mail.message_id).encode(),
        b"boundary": _boundary(mail),
        b"text_encoding": text_encoding,
        b"text": text,
        b"html_encoding": html_encoding,
        b"html": html,
    }


@lru_cache(maxsize=8)
def _from(sender: Mailbox) -> bytes:
    return sender.header.encode()


@lru_cache(maxsize=8)
def _date(second: int) -> bytes:
    return format_datetime(datetime.fromtimestamp(second, UTC)).encode()


def _encoded(text: str, *, eight_bit: bool) -> tuple[bytes, bytes]:
    """A body's Content-Transfer-Encoding (RFC 2045, 6) and the body in it, every line ended with CRLF."""
    lines = text.encode().splitlines()
    body = b"\r\n".join(lines) + b"\r\n"
    if max(map(len, lines), default=0) <= _LONGEST_LINE:
        if body.isascii():
            return b"7bit", body
        if eight_bit:
            return b"8bit", body
    readable, short = b2a_qp(body), encodebytes(body).replace(b"\n", b"\r\n")
    return (b"base64", short) if len(short) < len(readable) else (b"quoted-printable", readable)


def _boundary(mail: Mail) -> bytes:
    """A digest of the bodies cannot stand in them, so nobody who writes them can end a part."""
    digest = blake2b(f"{mail.message_id}\0{mail.text}\0{mail.html}".encode(), digest_size=16)
    return b"=_" + digest.hexdigest().encode()


def _subject(text: str) -> str:
    line = _one_line(text)
    is_plain = line.isascii() and "=?" not in line
    if is_plain and len(line) <= _SHORT_SUBJECT:
        return line
    is_plain = is_plain and max(map(len, line.split(" "))) < _LONGEST_WORD
    return _folded(Header(line, "us-ascii" if is_plain else "utf-8", header_name="Subject"))


def _folded(header: Header) -> str:
    return header.encode(linesep="\r\n", maxlinelen=_ENCODED_LINE)


def _one_line(text: str) -> str:
    """Whatever a text says, it cannot begin another header."""
    return _LINE_BREAKERS.sub(" ", text).strip()
