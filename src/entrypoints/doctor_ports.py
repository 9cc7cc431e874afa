"""What `herald doctor` says of the ports that the settings name: free, Herald's, or somebody else's."""

import asyncio
import errno
from collections.abc import Sequence

from domain.diagnosis import Finding, Seen, ok, wrong
from entrypoints.listening import bound_socket, refusal

_MOST_BYTES = 65_536
# Whoever of Herald's gets it says a word that only Herald says: the inbox's SMS provider asks for a login to
# itself, every other HTTP port has a problem of Herald's for it, and the mail server has greeted before.
_QUESTION = b"GET /2010-04-01/Accounts/doctor.json HTTP/1.0\r\nHost: localhost\r\n\r\n"
_SIGNS = (b"urn:herald:problem:", b'realm="Herald inbox"', b"Herald inbox")


class PortsProbe:
    """`ports`: host, port and the setting that names it; port 0 is any free one. `seconds`: for an answer."""

    def __init__(self, ports: Sequence[tuple[str, int, str]], seconds: float = 3.0) -> None:
        self._ports = [one for one in ports if one[1]]
        self._seconds = seconds

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"port {port}" for _, port, _ in self._ports)

    async def look(self) -> Seen:
        return Seen(tuple(await asyncio.gather(*(self._look_at(*one) for one in self._ports))))

    async def _look_at(self, host: str, port: int, setting: str) -> Finding:
        name = f"port {port}"
        try:
            bound_socket(host, port).close()  # without listening: nobody can connect meanwhile
        except (OSError, UnicodeError) as error:
            if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                says, _, remedy = refusal(host, port, setting, error).partition(": ")
                return wrong(name, says, remedy)
        else:
            return ok(name, f"free ({setting}): nothing of Herald's listens there")
        if await self._is_herald(host, port):
            return ok(name, f"in use by Herald ({setting})")
        says = f"in use, and not by a Herald that answers ({setting})"
        return wrong(name, says, f"stop what listens there, or set {setting} to another")

    async def _is_herald(self, host: str, port: int) -> bool:
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await asyncio.open_connection(_reached_at(host), port)
                try:
                    writer.write(_QUESTION)
                    return await _says_so(reader)
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError):
            return False


async def _says_so(reader: asyncio.StreamReader) -> bool:
    said = b""
    while len(said) < _MOST_BYTES and (more := await reader.read(_MOST_BYTES)):
        said += more
        if any(sign in said for sign in _SIGNS):
            return True
    return False


def _reached_at(host: str) -> str:
    """Who listens on every address is reached at the loopback's."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
