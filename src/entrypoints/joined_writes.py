"""A transport that sends an answer's head and body in one piece: a system call less for each request."""

import asyncio
from typing import Any

from entrypoints.http_protocol import BoundedHttp


class JoinedWrites(asyncio.Transport):
    """Holds a first write back until the next one comes, at most to the end of the loop's turn.

    It knows nothing of HTTP: whatever is written arrives whole and in order, and nothing is held for
    longer than the turn in which it was written. Of a transport it has what uvicorn uses.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._call_soon = asyncio.get_running_loop().call_soon
        self._held = b""

    def write(self, data: Any) -> None:
        if self._held:
            data, self._held = self._held + data, b""
            self._transport.write(data)
        elif data:
            self._held = bytes(data)
            self._call_soon(self._flush)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        if self._held:
            data, self._held = self._held, b""
            self._transport.write(data)


class JoiningProtocol(BoundedHttp):
    """The bounded one, on a transport that joins what it writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport))
