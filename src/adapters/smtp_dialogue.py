"""Commands and replies over an open connection, one at a time (RFC 5321, 4.2).

aiosmtplib's own `execute_command` does the same with a lock and a `wait_for` for each command, and keeps what
stands behind a reply for the answer to the next one (docs/decisions/0014-mail-by-our-own-dialogue.md).
"""

import asyncio
from typing import NamedTuple

_LONGEST_REPLY = 32_768
_CODE = 3  # digits

GARBLED = -1
"""The code of what is no reply of SMTP's."""


class Reply(NamedTuple):
    """`text`: its lines without the code, parted by LF."""

    code: int
    text: str


class Disconnected(ConnectionError):
    """The connection ended."""


class SmtpDialogue(asyncio.Protocol):
    """What is said over one connection once it is open.

    `in_step`: every reply so far was the answer to one command. Once it is not, whatever comes may be late,
    and no command may be asked any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._buffer = b""
        self._waiter: asyncio.Future[Reply] | None = None
        self.in_step = True
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        return self.in_step and not self._transport.is_closing()

    async def ask(self, command: bytes, seconds: float) -> Reply:
        """The whole reply. Raises `Disconnected` and `TimeoutError`; who is cancelled here must `abort`."""
        if not self.is_open:
            raise Disconnected("Connection lost")
        waiter: asyncio.Future[Reply] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(seconds, self._give_up)
        try:
            self._transport.write(command)
            return await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def end(self, command: bytes) -> None:
        """Says so and closes, without waiting for a reply."""
        if not self._transport.is_closing():
            self._transport.write(command)
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    # What asyncio tells ------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():
            self.in_step = False  # nobody asked
            return
        self._buffer += data
        reply = self._first_reply()
        if reply is not None:
            self.in_step = not self._buffer and reply.code != GARBLED
            self._waiter.set_result(reply)

    def _first_reply(self) -> Reply | None:
        """The first whole reply in the buffer, taken out of it; None while there is none."""
        if len(self._buffer) > _LONGEST_REPLY:
            return Reply(GARBLED, "Response too long")
        texts = []
        lines = self._buffer.split(b"\n")
        rest = lines.pop()
        for number, line in enumerate(lines):
            if not line[:_CODE].isdigit():
                return Reply(GARBLED, f"Malformed SMTP response line: {line.decode(errors='ignore')}")
            texts.append(line[_CODE + 1 :].strip(b" \t\r"))
            if line[_CODE : _CODE + 1] != b"-":
                self._buffer = b"\n".join([*lines[number + 1 :], rest])
                text = b"\n".join(texts).decode("utf-8", "surrogateescape")
                return Reply(int(line[:_CODE]), text)
        return None

    def eof_received(self) -> None:
        self._fail(Disconnected("Unexpected EOF received"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Disconnected(str(exc) if exc else "Connection lost"))

    def _give_up(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        self.in_step = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
