"""Keeps the view of what became of messages where the log itself cannot be asked for one."""

import logging
from collections.abc import Sequence
from contextlib import aclosing

from domain.errors import LogUnavailable
from domain.ports import Clock
from domain.status import StatusEvent
from domain.view_ports import StatusFeed, StatusStore

LOOK_SECONDS = 0.4
WAIT_SECONDS = 1.0
FORGET_SECONDS = 30.0
_HOUR = 3600.0

logger = logging.getLogger("herald.status")


class BuildStatus:
    """Feeds the store for ever. `hours` and `messages` bound what it holds."""

    def __init__(
        self, feed: StatusFeed, store: StatusStore, clock: Clock, hours: float, messages: int
    ) -> None:
        self._feed = feed
        self._store = store
        self._clock = clock
        self._hours = hours
        self._messages = messages
        self._forgot_at = 0.0
        self._silent = False
        self._is_built = False

    async def run(self) -> None:
        """Outages of the log are waited out. Raises `HeraldError` where the view must begin anew."""
        while True:
            try:
                await self._catch_up()
            except LogUnavailable as error:
                self._note_silence(error)
                await self._clock.sleep(WAIT_SECONDS)
            else:
                self._note_silence(None)
                await self._clock.sleep(LOOK_SECONDS)

    async def _catch_up(self) -> None:
        moment = self._clock.now()
        async with aclosing(self._feed.rest()) as rest:
            async for events in rest:
                await self._keep(events)
        await self._store.is_as_of(moment)
        await self._forget()
        if not self._is_built:
            self._is_built = True
            logger.info("The status view has caught up", extra={"action": "status_view_built"})

    async def _keep(self, events: Sequence[StatusEvent]) -> None:
        """As soon as the store takes them: the feed does not give them again."""
        while True:
            try:
                await self._store.add(events)
                return await self._forget()
            except LogUnavailable as error:
                self._note_silence(error)
                await self._clock.sleep(WAIT_SECONDS)

    async def _forget(self) -> None:
        now = self._clock.monotonic()
        if now - self._forgot_at >= FORGET_SECONDS:
            self._forgot_at = now
            await self._store.forget(self._clock.now() - _HOUR * self._hours, self._messages)

    def _note_silence(self, error: LogUnavailable | None) -> None:
        if error is not None and not self._silent:
            logger.warning("the status view waits: %s", error, extra={"action": "status_view_waits"})
        elif error is None and self._silent:
            logger.info("the status view goes on", extra={"action": "status_view_goes_on"})
        self._silent = error is not None
