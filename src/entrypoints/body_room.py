"""How much of requests' bodies a process holds at once, and the reading of a body within that."""

from entrypoints.plain_http import ASGIMessage, BodyTooLarge, ClientGone, Receive


class NoRoom(Exception):
    """Other requests' bodies take all the room there is."""


class BodyRoom:
    """Counts the bytes of all bodies from when they come until their requests are answered.

    A body that is alone always has room: `max_batch_bytes` alone bounds it.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0

    def take(self, size: int, own: int = 0) -> None:
        """Makes room for more bytes of a body that has `own` already. Raises `NoRoom`."""
        if self.held_bytes + size > self.most_bytes and self.held_bytes > own:
            raise NoRoom
        self.held_bytes += size

    def leave(self, size: int) -> None:
        self.held_bytes -= size


class Body:
    """One body while it is read: at most `limit` bytes."""

    __slots__ = ("_limit", "_parts", "_room", "size")

    def __init__(self, room: BodyRoom, limit: int) -> None:
        self._room = room
        self._limit = limit
        self._parts: list[bytes] = []
        self.size = 0

    def take(self, event: ASGIMessage) -> bool:
        """Whether more is to come. Raises `BodyTooLarge`, `NoRoom`, and `ClientGone` when it ends early."""
        if event["type"] != "http.request":
            raise ClientGone
        part = event.get("body", b"")
        size = len(part)
        if self.size + size > self._limit:
            raise BodyTooLarge
        self._room.take(size, self.size)
        self.size += size
        self._parts.append(part)
        return bool(event.get("more_body", False))

    async def take_rest(self, receive: Receive) -> None:
        """Raises as `take` does."""
        while self.take(await receive()):
            pass

    def whole(self) -> bytes:
        """To be asked once: from then on the body is the asker's alone."""
        parts, self._parts = self._parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)
