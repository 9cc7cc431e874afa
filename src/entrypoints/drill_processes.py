"""Herald's processes as the drill has them: started as `herald run` does, taken down as it likes."""

import asyncio
from collections import deque
from collections.abc import Callable

from domain.errors import HeraldError
from entrypoints.supervised_child import ChildSpec, RunningChild, Said

_PAUSE_SECONDS = 1.0
_LAST_LINES = 20


class DrillProcess:
    """One of Herald's processes. One that ends by itself is started again, and `note` is told."""

    def __init__(
        self, spec: ChildSpec, note: Callable[[str], None], *, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        self.spec = spec
        self._pause_seconds = pause_seconds
        self._note = note
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._running: RunningChild | None = None
        self._ended = asyncio.Event()
        self._ready = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._taken_down = False

    async def start(self) -> None:
        """On return it runs; whether it is ready is asked with `facts`. Raises `HeraldError`."""
        self._taken_down = False
        await self._run()
        self._keeping = asyncio.create_task(self._keep())

    async def facts(self, seconds: float) -> dict[str, str]:
        """What it tells of itself once it is ready. Raises `HeraldError` when it does not get there."""
        ready, ended = (asyncio.create_task(event.wait()) for event in (self._ready, self._ended))
        try:
            await asyncio.wait({ready, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                raise HeraldError(self._why_not(seconds, has_ended=ended.done()))
        finally:
            ready.cancel()
            ended.cancel()
        return dict(self._running.facts) if self._running else {}

    async def kill(self) -> None:
        """SIGKILL; on return it is gone."""
        self._taken_down = True
        if self._running is not None:
            self._running.kill()
        await self._gone()

    async def stop(self, seconds: float) -> bool:
        """SIGTERM. Whether it ended in time; if not, it is killed."""
        self._taken_down = True
        if self._running is not None:
            self._running.terminate()
        try:
            async with asyncio.timeout(seconds):
                await self._gone()
        except TimeoutError:
            await self.kill()
            return False
        return True

    async def _run(self) -> None:
        self._ended.clear()
        self._ready.clear()
        said = Said(self.spec.name, self._said.append)
        said.release()
        self._running = RunningChild(self.spec, said, self._ready.set)
        try:
            await self._running.start()
        except OSError as error:
            raise HeraldError(f"{self.spec.name} cannot be started: {error.strerror}") from error

    async def _keep(self) -> None:
        while self._running is not None:
            code = await self._running.wait()
            self._running.close()
            self._ended.set()
            if self._taken_down:
                return
            self._note(f"{self.spec.name} ended by itself ({code}){self._last_words()}; started again")
            await asyncio.sleep(self._pause_seconds)
            if self._taken_down:
                return
            await self._run()
            if self._taken_down:
                self._running.kill()  # the order to end came before there was a process

    async def _gone(self) -> None:
        if self._keeping is not None:
            await asyncio.wait({self._keeping})

    def _last_words(self) -> str:
        if not self._said:
            return ""
        return ": " + self._said[-1].removeprefix(f"{self.spec.name}: ").removeprefix("Error: ")

    def _why_not(self, seconds: float, *, has_ended: bool) -> str:
        if has_ended:
            return f"{self.spec.name} ended before it was ready{self._last_words()}"
        waits = self._running.waiting_for if self._running else ""
        return f"{self.spec.name} is not ready after {seconds:g} s{waits and ': ' + waits}"
