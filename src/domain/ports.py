"""The ports: what Herald needs from the outside, and the values that cross the border.

Every adapter is an async context manager. Entering starts it and never waits for a remote side;
leaving ends it in bounded time. The other calls are made in between. Each port has one contract
suite in `tests/contracts`, run over every adapter. The ports of those who only look on are in `view_ports`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from domain.dead_letter import DeadLetter, KeptLetter, LetterFilter, LetterPage, LetterPlace, LetterTally
from domain.discard import Discard
from domain.ledger import Extent, Note, Places, Written
from domain.log import (
    Bounds,
    LogEvent,
    NewRecord,
    Position,
    Receipt,
    Record,
    Shard,
    Unconfirmed,
)
from domain.message import Message
from domain.outcome import Outcome
from domain.topic import FoundTopic, TopicPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One mail to one recipient. `message_id` comes with its angle brackets; `date`: epoch seconds."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str
    date: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text message. `idempotency_key` is the same on every try."""

    to: str
    body: str
    idempotency_key: str


class Clock(Protocol):
    """Time. Nothing in `domain` or `application` asks for it elsewhere."""

    def now(self) -> float:
        """Seconds since the epoch; may jump when the machine's time is set."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Returns after at least `seconds`; at 0 or below other tasks get one turn."""


class MessagePublisher(AbstractAsyncContextManager[Any], Protocol):
    """Puts records into the log."""

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        """One answer for each record, in the order given, within the adapter's time limit.

        A `Receipt` means that a crash of any process or broker does not lose the record. Records of
        one shard get rising offsets in the order given; once one of a shard is `Unconfirmed`, so are
        all later ones of that shard in this call. Calling again with the same records adds them again.
        Cancelling the call leaves it open whether they are in the log. Never raises `LogUnavailable`.
        """

    async def unready(self) -> str | None:
        """None when the log answers; otherwise why it does not, in a few words. Bounded in time."""


class MessageLog(AbstractAsyncContextManager[Any], Protocol):
    """A group's way to read all its topics, shared with the group's other processes."""

    async def next_event(self, wanted: AbstractSet[Shard], limit: int, seconds: float) -> LogEvent | None:
        """What happens next; None when nothing did within about `seconds`.

        At most `limit` records come, and only of `wanted` shards; with none wanted the membership is
        still kept alive, so this must be called all the time. One call at a time. A cancelled call
        loses no event. Outages are waited out, not raised. Raises `StorageBroken`.
        """

    async def committed(self, shard: Shard) -> Position | None:
        """The group's position; None only if the log confirms that there never was one.

        Waits as long as the log does not answer. The shard must be ours.
        """

    async def bounds(self, shards: AbstractSet[Shard]) -> Mapping[Shard, Bounds]:
        """First and next offset of each shard asked for. Raises `LogUnavailable`."""

    def begin(self, shard: Shard, offset: int) -> None:
        """Hand out the shard's records from `offset` on. Again: go back or forth to that offset.

        A shard that is not ours any more is ignored.
        """

    async def peek(self, shard: Shard, offset: int) -> Record | None:
        """The record at this offset, or None where the log has none there (any more).

        Nothing is handed out by it. Raises `LogUnavailable`. Bounded in time.
        """

    def reached(self, shard: Shard) -> int | None:
        """The offset that is read next: past all that was handed out and past what holds no record.

        It moves as long as the log is read at all. None for a shard that is not begun or not ours.
        """

    async def commit(self, positions: Mapping[Shard, Position]) -> None:
        """On return the positions are safe and `committed` gives them, in any process.

        Shards that are not ours any more are left out. Raises `LogUnavailable` when some are not
        confirmed: they may be stored or not, and committing again is right. Bounded in time.
        """

    async def release(self, shards: AbstractSet[Shard]) -> None:
        """The answer to `Revoking`: nothing more will be done with these shards. Twice is harmless."""

    async def unready(self) -> str | None:
        """None when the group is joined (also without a shard, or standing by) and the log answers."""


class DeliveryLedger(AbstractAsyncContextManager[Any], Protocol):
    """What became of each message of a group, and what it put off. Written by the shard's owner alone."""

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        """On return all notes are as safe as the log itself; their positions, in the order given.

        Positions rise within the ledger and within the deferrals, also from call to call. Raises
        `LogUnavailable` where that is not confirmed in time: any of the notes may be there, and writing
        them again adds a second copy, which says the same. Raises `StorageBroken`. One call at a time for
        each shard.
        """

    async def extent(self, shard: Shard) -> Extent:
        """How far the shard's ledger and deferrals reach. Raises `LogUnavailable`. Bounded in time."""

    def recall(self, shard: Shard, since: Places) -> AsyncIterator[Sequence[Written]]:
        """All that was safe when this was called, from these positions on, in slices of bounded size.

        First the ledger, then the deferrals, each in order of position. Of an offset's deferrals that were
        replaced or done, earlier ones may be missing. Raises `LogUnavailable` (begin again) and
        `UnknownVersion`.
        """


class DeadLetters(AbstractAsyncContextManager[Any], Protocol):
    """Keeps what could not be delivered."""

    async def keep(self, letter: DeadLetter) -> None:
        """On return the letter is as safe as the log itself. Keeping it again keeps it twice.

        Raises `LogUnavailable` when that is not confirmed in time: call again. Key, value and
        headers of the original stay as they were, byte for byte.
        """


class DeadLetterArchive(AbstractAsyncContextManager[Any], Protocol):
    """The dead letters of all groups, for whoever looks at them and puts them back."""

    async def find(
        self, wanted: LetterFilter, *, after: LetterPlace | None = None, limit: int = 100
    ) -> LetterPage:
        """At most `limit` that match, in the order of their places, each source once.

        Raises `LogUnavailable`. Changes nothing, and holds no more than it answers.
        """

    async def get(self, letter_id: str) -> KeptLetter | None:
        """One letter, or None where there is none of that id. Raises `LogUnavailable`."""

    async def tally(self, until: float = float("inf")) -> Sequence[LetterTally]:
        """How many letters that failed before then were not put back, in order; none of nothing.

        Raises `LogUnavailable`. What was read for an earlier answer is not read again where that is dear.
        """

    async def put_back(self, kept: KeptLetter, *, by: str) -> None:
        """Appends the original to its topic and partition for its group alone, and notes who did so and when.

        On return both are safe. Raises `LogUnavailable` where that is not confirmed: either may be there or
        not, and calling again is right, because the group delivers it once. Raises `HeraldError` where the
        log can never take it.
        """


class DiscardOrders(AbstractAsyncContextManager[Any], Protocol):
    """The orders to discard, kept beside the log, for those who give them and the groups' processes."""

    async def give(self, order: Discard) -> None:
        """On return the order is as safe as the log itself, and `in_force` gives it to everybody.

        Earlier ones that it includes may go then. Again: as once. Raises `LogUnavailable` where that is not
        confirmed in time: it may be in force or not, and giving it again is right.
        """

    async def in_force(self, topic: str, group: str) -> Sequence[Discard]:
        """All that were safe when this was called. Asked again and again: what was read costs no more.

        Raises `LogUnavailable` and `UnknownVersion`. Bounded in time.
        """


class TopicCatalog(AbstractAsyncContextManager[Any], Protocol):
    """The topics that exist in the log."""

    async def find(self, names: AbstractSet[str]) -> Mapping[str, FoundTopic]:
        """Those of `names` that exist. Raises `LogUnavailable`. Changes nothing."""

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        """Creates each; one that exists meanwhile is left as it is.

        Raises `LogUnavailable`, and `HeraldError` when the log refuses a plan for good.
        """


class Retention(AbstractAsyncContextManager[Any], Protocol):
    """Deletes what may be forgotten, for a log that does not do so by itself."""

    async def run(self) -> None:
        """For ever. Nothing that a group has not finished is deleted; failures are logged and tried again."""


class EmailSender(AbstractAsyncContextManager[Any], Protocol):
    """Sends mail."""

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:
        """One try. Never raises for what the server says or fails to say; bounded in time.

        `fresh`: on a new connection, to learn whether the server is back. Cancelling ends the
        connection, so that the next mail can never get this one's answer.
        """


class SmsSender(AbstractAsyncContextManager[Any], Protocol):
    """Sends texts."""

    async def send(self, text: Text, *, fresh: bool = False) -> Outcome:
        """One try, as `EmailSender.send`."""


class Templates(Protocol):
    """What a mail and a text say. A folder named for the message's topic wins over the general one."""

    def mail(self, message: Message) -> tuple[str, str, str]:
        """Subject (one line), plain text and HTML of a mail."""

    def text(self, message: Message) -> str:
        """The text: at most 1,600 characters, the transaction id always whole."""


class RecordDecoder(Protocol):
    """From a record to the message in it."""

    def __call__(self, record: Record) -> Message | str:
        """The message, or what is wrong with the record's bytes."""
