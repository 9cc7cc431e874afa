"""A service that can be made to fail on purpose, so that Herald can be watched coping."""

import asyncio
import logging
import socket
from enum import StrEnum
from typing import Protocol

from entrypoints.listening import bound_socket, port_of

_REBIND_SECONDS = 0.2

_log = logging.getLogger("herald.inbox")


class Outage(StrEnum):
    """What a service does with what it is given."""

    UP = "up"  # takes everything
    DOWN = "down"  # its port is closed
    SLOW = "slow"  # takes everything, and says so late
    BUSY = "busy"  # asks to come again later
    REJECT = "reject"  # refuses every recipient for good


class Switch:
    """The state of one service, for those who answer its clients."""

    def __init__(self) -> None:
        self.state = Outage.UP


class Listener(Protocol):
    """What answers on a service's port."""

    async def open(self, sock: socket.socket) -> None:
        """Listens on a bound socket, which it owns from now on. Raises OSError."""

    async def close(self) -> None:
        """Stops listening and drops every open connection."""


class SwitchedService:
    """A listener on a port that stays the same through outages.

    While it is down the port is bound but not listened on: clients are refused, and nobody else
    gets it meanwhile.
    """

    def __init__(self, name: str, host: str, switch: Switch, listener: Listener) -> None:
        self.name = name
        self.switch = switch
        self.port = 0
        self._host = host
        self._listener = listener
        self._bound: socket.socket | None = None
        self._reopening: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    async def start(self, sock: socket.socket) -> None:
        self.port = port_of(sock)
        await self._listener.open(sock)

    async def stop(self) -> None:
        async with self._turn:
            await self._cancel_reopening()
            await self._listener.close()
            self._let_go()

    async def change(self, state: Outage) -> None:
        """From now on the service behaves so; `down` drops its open connections."""
        async with self._turn:
            before, self.switch.state = self.switch.state, state
            if before == state:
                return
            if state == Outage.DOWN:
                await self._go_down()
            elif before == Outage.DOWN:
                await self._come_back()
        _log.info(
            "Inbox outage changed",
            extra={"action": "inbox_outage_changed", "service": self.name, "state": str(state)},
        )

    async def _go_down(self) -> None:
        await self._cancel_reopening()
        await self._listener.close()
        try:
            self._bound = bound_socket(self._host, self.port)
        except OSError:
            self._bound = None  # somebody was faster; the way back waits for them

    async def _come_back(self) -> None:
        if not await self._reopened():
            self._reopening = asyncio.create_task(self._reopen())

    async def _reopen(self) -> None:
        _log.warning(
            "Inbox port is taken by another program; waiting for it",
            extra={"action": "inbox_port_taken", "service": self.name, "port": self.port},
        )
        while True:
            await asyncio.sleep(_REBIND_SECONDS)
            async with self._turn:
                if await self._reopened():
                    return

    async def _reopened(self) -> bool:
        try:
            sock = self._bound or bound_socket(self._host, self.port)
            self._bound = sock
            sock.listen()
        except OSError:
            self._let_go()
            return False
        self._bound = None
        await self._listener.open(sock)
        return True

    def _let_go(self) -> None:
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    async def _cancel_reopening(self) -> None:
        task, self._reopening = self._reopening, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
