"""What arrived: the newest mails and texts, in memory, bounded in number and in bytes."""

import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from heapq import merge
from itertools import islice
from sys import getsizeof
from typing import Protocol

ENTRY_BYTES = 1024  # what an entry takes beside its contents, roughly


class Kind(StrEnum):
    """What may arrive."""

    EMAIL = "email"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class MailView:
    """What was understood of a mail: its JSON, its row in a list as JSON, and what a search looks at."""

    whole: bytes
    row: bytes
    words: str

    @property
    def weight(self) -> int:
        return len(self.whole) + len(self.row) + getsizeof(self.words)


@dataclass(slots=True)
class ReceivedMail:
    """One mail as it came. `number` is given by the inbox; `view` is there once somebody wanted to see it."""

    sender: str
    recipients: tuple[str, ...]
    at: float
    raw: bytes
    number: int = 0
    view: MailView | None = None
    weight: int = field(init=False)

    def __post_init__(self) -> None:
        addresses = len(self.sender) + sum(map(len, self.recipients))
        self.weight = ENTRY_BYTES + addresses + len(self.raw)

    def show(self, view: MailView) -> None:
        if self.view is None:
            self.view = view
            self.weight += view.weight


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedText:
    """One text message as it came; `idempotency_key` is None where the client sent none."""

    sid: str
    sender: str
    recipient: str
    body: str
    idempotency_key: str | None
    at: float
    number: int = 0

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

    The totals count everything since the start or the last `clear`. Each entry gets the next number, mails
    and texts alike; `newest` is the last one given. `run` changes when the numbers begin anew.
    """

    def __init__(self, *, keep: int, keep_bytes: int) -> None:
        self.emails_total = 0
        self.texts_total = 0
        self.newest = 0
        self.run = uuid.uuid4().hex
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._held_bytes = 0
        self._mails: deque[ReceivedMail] = deque()
        self._texts: deque[ReceivedText] = deque()

    def add_mail(self, mail: ReceivedMail) -> None:
        self.emails_total += 1
        self.newest = mail.number = self.newest + 1
        self._mails.append(mail)
        self._held_bytes += mail.weight
        self._shrink()

    def add_text(self, text: ReceivedText) -> None:
        self.texts_total += 1
        self.newest += 1
        self._texts.append(replace(text, number=self.newest))
        self._held_bytes += text.weight
        self._shrink()

    def newest_mails(self, limit: int) -> list[ReceivedMail]:
        return list(islice(reversed(self._mails), limit))

    def newest_texts(self, limit: int) -> list[ReceivedText]:
        return list(islice(reversed(self._texts), limit))

    def newest_first(
        self, kind: Kind | None, *, after: int, before: int
    ) -> Iterator[ReceivedMail | ReceivedText]:
        """What is held of a kind, or of both, numbered between the two. Take it before the next arrives."""
        mails: Iterable[ReceivedMail | ReceivedText] = reversed(self._mails) if kind != Kind.SMS else ()
        texts: Iterable[ReceivedMail | ReceivedText] = reversed(self._texts) if kind != Kind.EMAIL else ()
        for entry in merge(mails, texts, key=lambda entry: -entry.number):
            if entry.number <= after:
                return
            if entry.number < before:
                yield entry

    def get(self, number: int) -> ReceivedMail | ReceivedText | None:
        return next(self.newest_first(None, after=number - 1, before=number + 1), None)

    def show(self, mails: list[ReceivedMail], views: list[MailView]) -> None:
        """Keeps what was understood of mails, so that none is parsed again."""
        for mail, view in zip(mails, views, strict=True):
            mail.show(view)
        # Some may have left the inbox meanwhile: counting anew is cheaper than asking for each.
        self._held_bytes = sum(m.weight for m in self._mails) + sum(t.weight for t in self._texts)
        self._shrink()

    def clear(self) -> None:
        self._mails.clear()
        self._texts.clear()
        self._held_bytes = self.emails_total = self.texts_total = self.newest = 0
        self.run = uuid.uuid4().hex

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
