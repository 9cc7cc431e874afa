"""Commands and replies over an open connection, one at a time (RFC 5321, 4.2).

aiosmtplib's own `execute_command` does the same with a lock and a `wait_for` for each command, and keeps what
stands behind a reply for the answer to the next one (docs/decisions/0015-mail-by-our-own-dialogue.md).
"""

import asyncio
from typing import NamedTuple

_LONGEST_REPLY = 32_768
_ROOM = 2_048  # for what is read at once; a reply is some fifty octets
_CODE = 3  # digits

GARBLED = -1
"""The code of what is no reply of SMTP's."""


class Reply(NamedTuple):
    """`text`: its lines without the code, parted by LF."""

    code: int
    text: str


class Disconnected(ConnectionError):
    """The connection ended."""


class SmtpDialogue(asyncio.BufferedProtocol):
    """What is said over one connection once it is open.

    `in_step`: every reply so far was the answer to one command that had been written whole. Once it is not,
    whatever comes may be late, and no command may be asked any more.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        # A view: over TLS asyncio reads record after record into slices of it, and a bytearray's are copies.
        self._room = memoryview(bytearray(_ROOM))
        self._buffer = b""
        self._waiter: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
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
        self._watch(self._loop.time() + seconds)
        try:
            self._transport.write(command)
            return await waiter
        finally:
            self._waiter = None

    def end(self, command: bytes) -> None:
        """Says so and closes, without waiting for a reply, nor for the other side's end of TLS."""
        if not self._transport.is_closing():
            self._transport.write(command)
        self._transport.close()
        self._fail(Disconnected("Connection lost"))

    def abort(self) -> None:
        self._transport.abort()

    # What asyncio tells ------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's wish is not asked for
        """Kept: for a protocol without one asyncio takes 256 KiB for each reading, and the kernel pays."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        if self._waiter is None or self._waiter.done():
            self.in_step = False  # nobody asked
            return
        self._buffer += self._room[:nbytes]
        reply = self._first_reply()
        if reply is not None:
            is_early = self._transport.get_write_buffer_size() > 0
            self.in_step = not (self._buffer or is_early or reply.code == GARBLED)
            self._waiter.set_result(reply)

    def _first_reply(self) -> Reply | None:
        """The first whole reply in the buffer, taken out of it; None while there is none.

        All of its lines have one code (RFC 5321, 4.2.1): else they are of two replies.
        """
        if len(self._buffer) > _LONGEST_REPLY:
            return Reply(GARBLED, "Response too long")
        texts, start = [], 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            line, start = self._buffer[start:end], end + 1
            code, mark = line[:_CODE], line[_CODE : _CODE + 1]
            if not code.isdigit() or mark.isdigit() or not self._buffer.startswith(code):
                return Reply(GARBLED, f"Malformed SMTP response line: {line.decode(errors='ignore')}")
            texts.append(line[_CODE + 1 :].strip(b" \t\r"))
            if mark != b"-":
                self._buffer = self._buffer[start:]
                return Reply(int(code), b"\n".join(texts).decode("utf-8", "surrogateescape"))
        return None

    def eof_received(self) -> None:
        self._fail(Disconnected("Unexpected EOF received"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Disconnected(str(exc) if exc else "Connection lost"))
        if self._timer is not None:
            self._timer.cancel()

    # Time --------------------------------------------------------------------------------------

    def _watch(self, deadline: float) -> None:
        """One timer for all commands, since setting one for each costs more.

        It is never set later than the deadline; where it comes too early, `_look` sets it again.
        """
        self._deadline = deadline
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        self.in_step = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
