"""One run of a child process, seen from its parent: its link, what it says, its end."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LINE_LIMIT = 4096
HELD_LINES = 200
_LAST_WORDS_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """A process to keep running.

    `--supervised-by FD`, the child's end of the link, is added to `command`. `pass_fds` stay open in the
    child under the same numbers; `stdin` is what it reads there. `own_stderr`: it writes to the parent's
    stderr by itself, unheard by the parent. `stops_last`: the others need it until they have ended.
    `environ` and `directory`: its environment and working directory; None: the parent's.
    """

    name: str
    command: tuple[str, ...]
    pass_fds: tuple[int, ...] = ()
    stdin: bytes = b""
    own_stderr: bool = False
    stops_last: bool = False
    environ: Mapping[str, str] | None = None
    directory: Path | None = None


class Lines(asyncio.Protocol):
    """Cuts a stream into lines; one longer than `LINE_LIMIT` bytes becomes several: memory stays bounded."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.closed = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._give(line)
        if len(self._rest) > LINE_LIMIT:
            self._give(self._rest)
            self._rest = b""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._give(self._rest)
        self._rest = b""
        if not self.closed.done():
            self.closed.set_result(None)

    def _give(self, line: bytes) -> None:
        for start in range(0, len(line), LINE_LIMIT):
            text = line[start : start + LINE_LIMIT].decode(errors="replace").rstrip()
            if text:
                self._on_line(text)


class Said:
    """What a child says on stderr: held back until `release`, passed on at once from then on.

    A child that does not come up is told about in one line with its last words, so the others wait.
    """

    def __init__(self, name: str, show: Callable[[str], None]) -> None:
        self._name = name
        self._show = show
        self._held: deque[str] = deque(maxlen=HELD_LINES)
        self._is_released = False

    def line(self, text: str) -> None:
        if self._is_released:
            self._show(f"{self._name}: {text}")
        else:
            self._held.append(text)

    def release(self) -> None:
        self._is_released = True
        while self._held:
            self._show(f"{self._name}: {self._held.popleft()}")

    def last_words(self) -> str:
        """The last line that was not shown yet, or empty."""
        return self._held[-1].removeprefix("Error: ") if self._held else ""


class RunningChild:
    """One run of a child. `on_ready` is called once, when the child says so."""

    def __init__(self, spec: ChildSpec, said: Said, on_ready: Callable[[], None]) -> None:
        self.spec = spec
        self.said = said
        self.is_ready = False
        self.waiting_for = ""
        self.facts: Mapping[str, str] = {}
        self._on_ready = on_ready
        self._process: asyncio.subprocess.Process | None = None
        self._streams: list[tuple[Lines, asyncio.BaseTransport]] = []

    async def start(self) -> None:
        """Raises OSError when the machine cannot start another process."""
        with contextlib.ExitStack() as childs_ends:
            link, childs_link = socket.socketpair()
            childs_ends.callback(childs_link.close)
            await self._listen(link, self._heard)
            words, childs_stderr = os.pipe()
            childs_ends.callback(os.close, childs_stderr)
            await self._listen(os.fdopen(words, "rb", buffering=0), self.said.line)
            self._process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                "--supervised-by",
                str(childs_link.fileno()),
                stdin=asyncio.subprocess.PIPE if self.spec.stdin else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=None if self.spec.own_stderr else childs_stderr,
                pass_fds=(childs_link.fileno(), *self.spec.pass_fds),
                env=self.spec.environ,
                cwd=self.spec.directory,
                # Ctrl-C reaches a whole process group; here only the parent may answer it.
                start_new_session=True,
            )
        self._feed(self._process.stdin)

    async def wait(self) -> int:
        """The exit code, negative for the signal that ended it; all it said has been passed on."""
        if self._process is None:
            raise RuntimeError("the child was not started")
        code = await self._process.wait()
        # A grandchild may hold the streams open for longer.
        await asyncio.wait([lines.closed for lines, _ in self._streams], timeout=_LAST_WORDS_SECONDS)
        return code

    def close(self) -> None:
        """Lets go of the child; one that still runs ends by its link."""
        for _, transport in self._streams:
            transport.close()

    def terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """At once, with all it started in its process group."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _listen(self, source: Any, on_line: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        transport, lines = await loop.connect_read_pipe(lambda: Lines(on_line), source)
        self._streams.append((lines, transport))

    def _feed(self, stdin: asyncio.StreamWriter | None) -> None:
        if stdin is not None:
            stdin.write(self.spec.stdin)
            stdin.close()

    def _heard(self, line: str) -> None:
        message = _message(line)
        facts = message.get("ready")
        if isinstance(facts, dict) and not self.is_ready:
            self.is_ready = True
            self.facts = {str(name): str(fact) for name, fact in facts.items()}
            self.said.release()
            self._on_ready()
        self.waiting_for = str(message.get("waiting", ""))


def _message(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
