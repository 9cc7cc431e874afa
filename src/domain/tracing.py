"""The port of traces: what one request and its messages met on their way. Off unless the settings ask."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from domain.log import Headers, Record
from domain.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class TryResult:
    """What one try came to: sent, dead, expired, retried, uncertain or given-back. The counts are with it."""

    state: str
    attempts: int
    uncertain_attempts: int
    reason: str = ""


class RequestSpan(Protocol):
    """A request, from its headers to its answer."""

    def answered(self, status: int) -> None:
        """With this HTTP status."""


class ProduceSpan(Protocol):
    """Messages on their way into the log."""

    @property
    def headers(self) -> Headers:
        """What a record takes along, so that whoever reads it goes on in this trace."""

    def confirmed(self, messages: int) -> None:
        """So many of them are in the log; of the others that is not known."""


class TrySpan(Protocol):
    """One try to deliver a message, from its turn to the note of what came of it."""

    def came_to(self, result: TryResult) -> None:
        """The try is over."""


class SendSpan(Protocol):
    """What the provider was asked, within a try."""

    def answered(self, outcome: Outcome) -> None:
        """What it said, or failed to say."""


class Tracer(AbstractAsyncContextManager[Any], Protocol):
    """Opens spans. Each lasts as long as its `with` block; one opened within another is its child.

    None of this raises, nor waits for a remote side: what cannot be told is dropped. Nothing personal gets
    into a span: no address, no number, no body.
    """

    def request(
        self, path: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> AbstractContextManager[RequestSpan]:
        """A POST to `path`; goes on in the trace that its headers name, else begins one."""

    def produce(
        self, topics: Iterable[str], request_ids: Iterable[str]
    ) -> AbstractContextManager[ProduceSpan]:
        """One or more messages, each id once for each message."""

    def trying(self, group: str, record: Record, request_id: str) -> AbstractContextManager[TrySpan]:
        """A try of this record's message; goes on in the trace that its headers name, else begins one."""

    def sending(self, group: str, *, probe: bool) -> AbstractContextManager[SendSpan]:
        """`probe`: to learn whether the channel is back."""
