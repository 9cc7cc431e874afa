"""A transport that sends an answer's head and body in one piece: a system call less for each request."""

import asyncio
from typing import Any

from entrypoints.http_protocol import BoundedHttp


class EndOfTurn:
    """Lets go what the connections of one server hold, once the loop's turn is over."""

    def __init__(self) -> None:
        self._holding: list[JoinedWrites] = []

    def expect(self, transport: "JoinedWrites") -> None:
        if not self._holding:
            asyncio.get_running_loop().call_soon(self._come)
        self._holding.append(transport)

    def _come(self) -> None:
        holding, self._holding = self._holding, []
        for transport in holding:
            transport.flush()


class JoinedWrites(asyncio.Transport):
    """Holds a first write back until the next one comes, at most to the end of the loop's turn.

    It knows nothing of HTTP: whatever is written arrives whole and in order, and nothing is held for
    longer than the turn in which it was written. Of a transport it has what uvicorn uses.
    """

    def __init__(self, transport: asyncio.Transport, turn: EndOfTurn) -> None:
        super().__init__()
        self._transport = transport
        self._turn = turn
        self._held = b""

    def write(self, data: Any) -> None:
        if self._held:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif data:
            self._held = bytes(data)
            self._turn.expect(self)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)


def joining_protocol() -> type[BoundedHttp]:
    """The HTTP protocol of one server, on transports that join what it writes."""
    turn = EndOfTurn()

    class JoiningProtocol(BoundedHttp):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(JoinedWrites(transport, turn))

    return JoiningProtocol
