"""What arrived: the newest mails and texts, in memory, bounded in number and in bytes."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

ENTRY_BYTES = 1024  # what an entry takes beside its contents, roughly


@dataclass(slots=True)
class ReceivedMail:
    """One mail as it came. Once shown, `shown` (its JSON) takes the place of the raw bytes."""

    sender: str
    recipients: tuple[str, ...]
    at: float
    raw: bytes
    shown: bytes = b""
    weight: int = field(init=False)

    def __post_init__(self) -> None:
        self.weight = self._weigh()

    def show(self, shown: bytes) -> None:
        self.raw, self.shown = b"", shown
        self.weight = self._weigh()

    def _weigh(self) -> int:
        addresses = len(self.sender) + sum(map(len, self.recipients))
        return ENTRY_BYTES + addresses + len(self.raw) + len(self.shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedText:
    """One text message as it came; `idempotency_key` is None where the client sent none."""

    sid: str
    sender: str
    recipient: str
    body: str
    idempotency_key: str | None
    at: float

    @property
    def weight(self) -> int:
        return ENTRY_BYTES + 4 * len(self.body)


class MailKeeper(Protocol):
    """Where the mail server puts what it accepted."""

    def add_mail(self, mail: ReceivedMail) -> None: ...


class TextKeeper(Protocol):
    """Where the SMS provider puts what it accepted."""

    def add_text(self, text: ReceivedText) -> None: ...


class InboxStore:
    """Holds at most `keep` of each kind and about `keep_bytes` of both; the oldest go first.

    The totals count everything since the start or the last `clear`.
    """

    def __init__(self, *, keep: int, keep_bytes: int) -> None:
        self.emails_total = 0
        self.texts_total = 0
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._held_bytes = 0
        self._mails: deque[ReceivedMail] = deque()
        self._texts: deque[ReceivedText] = deque()

    def add_mail(self, mail: ReceivedMail) -> None:
        self.emails_total += 1
        self._mails.append(mail)
        self._held_bytes += mail.weight
        self._shrink()

    def add_text(self, text: ReceivedText) -> None:
        self.texts_total += 1
        self._texts.append(text)
        self._held_bytes += text.weight
        self._shrink()

    def newest_mails(self, limit: int) -> list[ReceivedMail]:
        return list(islice(reversed(self._mails), limit))

    def newest_texts(self, limit: int) -> list[ReceivedText]:
        return list(islice(reversed(self._texts), limit))

    def show(self, mails: list[ReceivedMail], shown: list[bytes]) -> None:
        """Takes over how mails are shown, so that none is parsed again."""
        for mail, text in zip(mails, shown, strict=True):
            # Another reader may have been first; then this text was made of nothing.
            if not mail.shown:
                mail.show(text)
        # Some may have left the inbox meanwhile: counting anew is cheaper than asking for each.
        self._held_bytes = sum(m.weight for m in self._mails) + sum(t.weight for t in self._texts)
        self._shrink()

    def clear(self) -> None:
        self._mails.clear()
        self._texts.clear()
        self._held_bytes = self.emails_total = self.texts_total = 0

    def _shrink(self) -> None:
        while len(self._mails) > self._keep:
            self._held_bytes -= self._mails.popleft().weight
        while len(self._texts) > self._keep:
            self._held_bytes -= self._texts.popleft().weight
        while self._held_bytes > self._keep_bytes:
            self._held_bytes -= self._pop_oldest()

    def _pop_oldest(self) -> int:
        if not self._texts or (self._mails and self._mails[0].at <= self._texts[0].at):
            return self._mails.popleft().weight
        return self._texts.popleft().weight
