"""The programs of docs/howto, run as they stand."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.site import Site

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
PROGRAMS = {
    "sh": ("produce.sh", ("sh",)),
    "python": ("produce.py", (sys.executable,)),
    "go": ("produce.go", ("go", "run")),
    "java": ("Produce.java", ("java",)),
}
RUN_SECONDS = 90  # the Go tool compiles its library first on a new machine


class Fault(Enum):
    """What happens to a client's first try."""

    BUSY = "503, and a time to come again"
    LOST = "the API takes it, and its answer gets lost"


_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@asynccontextmanager
async def unlucky(api: str, fault: Fault) -> AsyncIterator[tuple[str, list[int]]]:
    """The API behind a door that fails once; its address, and a list that grows with each try."""
    port = urlsplit(api).port
    tries: list[int] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tries.append(len(tries))
        try:
            request = await _request(reader)
            if len(tries) > 1:
                writer.write(await _ask(port, request))
            elif fault is Fault.BUSY:
                writer.write(_BUSY)
            else:
                await _ask(port, request)
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tries


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


async def _ask(port: int | None, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head, _, body = request.partition(b"\r\n\r\n")
    writer.write(head + b"\r\nConnection: close\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    return answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def program(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", (HOWTO / "produce.md").read_text("utf-8"), re.DOTALL)
    return str(text)


async def run(folder: Path, language: str, herald: str) -> str:
    name, command = PROGRAMS[language]
    (folder / name).write_text(program(language), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *command, name, herald, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await asyncio.wait_for(process.communicate(), RUN_SECONDS)
    assert process.returncode == 0, printed.decode()
    return printed.decode()


async def test_a_client_in_each_language_gets_its_message_through_a_bad_moment(sqlite_site: Site) -> None:
    await sqlite_site.start_all()
    there = [name for name, (_, command) in PROGRAMS.items() if shutil.which(command[0])]

    async def gets_through(language: str) -> None:
        fault = Fault.BUSY if language == "sh" else Fault.LOST
        async with unlucky(sqlite_site.api, fault) as (herald, tries):
            printed = await run(sqlite_site.folder, language, herald)
        assert re.search(r'partition"?:? ?\d', printed), printed
        assert len(tries) == 2

    await asyncio.gather(*map(gets_through, there))
    assert await sqlite_site.arrived(emails=len(there), sms=1)
    assert len((await sqlite_site.inbox())["emails"]) == len(there), "what was sent again came once"


@pytest.mark.parametrize("language", PROGRAMS)
def test_each_program_is_there(language: str) -> None:
    assert "request_id" in program(language)
