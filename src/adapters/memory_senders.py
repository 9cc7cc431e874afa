"""Senders that keep what was sent instead of sending it."""

from collections import deque
from collections.abc import Iterable
from typing import Self

from domain.outcome import Delivered, Outcome
from domain.ports import Mail, Text


class _Memory:
    """Answers the `outcomes` it was given, one a try, and after the last one `Delivered` for ever."""

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self.outcomes = deque(outcomes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def _next(self) -> Outcome:
        return self.outcomes.popleft() if self.outcomes else Delivered()


class MemoryEmailSender(_Memory):
    """`sent`: the mails that were `Delivered`, oldest first."""

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        super().__init__(outcomes)
        self.sent: list[Mail] = []

    async def send(self, mail: Mail, *, fresh: bool = False) -> Outcome:  # noqa: ARG002 - the port's signature
        outcome = self._next()
        if isinstance(outcome, Delivered):
            self.sent.append(mail)
        return outcome


class MemorySmsSender(_Memory):
    """`sent`: the texts that were `Delivered`, oldest first."""

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        super().__init__(outcomes)
        self.sent: list[Text] = []

    async def send(self, text: Text, *, fresh: bool = False) -> Outcome:  # noqa: ARG002 - the port's signature
        outcome = self._next()
        if isinstance(outcome, Delivered):
            self.sent.append(text)
        return outcome
