"""What a person sees while a drill runs: a live picture on a terminal, else one line for each event."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from entrypoints.drill_conductor import Done
from entrypoints.drill_report import outage_cells
from entrypoints.drill_scoreboard import Scoreboard

_REFRESH_SECONDS = 0.25
_BAR = 32
_SHOWN_OUTAGES = 12


@dataclass(slots=True)
class _Picture:
    title: str
    board: Scoreboard
    channels: Sequence[str]
    now: Callable[[], float]
    phase: str = ""
    outages: list[Done] = field(default_factory=list)

    def __rich__(self) -> RenderableType:
        head = Text.assemble((self.title, "bold"), f"  {self.now():.0f} s")
        now = Spinner("line", Text(f" {self.phase}"), style="cyan")
        return Group(head, self._bars(), self._rows(), now)

    def _bars(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for channel in self.channels:
            promised, waiting = self.board.promised, self.board.waiting(channel)
            style = "yellow" if waiting else "green"
            bar = ProgressBar(
                total=max(1, promised),
                completed=promised - waiting,
                width=_BAR,
                complete_style=style,
                finished_style=style,
            )
            count = f"{promised - waiting:,} of {promised:,}"
            table.add_row(
                channel, bar, Text(count, justify="right"), f"{waiting:,} waiting" if waiting else ""
            )
        return table

    def _rows(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for done in self.outages[-_SHOWN_OUTAGES:]:
            is_back = done.back_in is not None
            mark = Text("ok", "green") if is_back else Text("..", "yellow")
            at, lasted, waiting, back = outage_cells(done)
            end = f"back in {back}" if is_back else "catching up"
            table.add_row(
                mark, at, done.outage.title, f"for {lasted}, {waiting} waited, {end}" if lasted else ""
            )
        return table


class DrillScreen:
    """An async context manager. Everything goes to `console`, which is stderr's: stdout is the result's."""

    def __init__(
        self,
        console: Console,
        title: str,
        board: Scoreboard,
        channels: Sequence[str],
        now: Callable[[], float],
    ) -> None:
        self._console = console
        self._picture = _Picture(title, board, channels, now)
        self._live = Live(self._picture, console=console, auto_refresh=False, transient=True)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._console.is_terminal:
            self._stack.enter_context(self._live)
            refreshing = asyncio.create_task(self._refresh())
            self._stack.callback(refreshing.cancel)
        else:
            self._line(self._picture.title)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def phase(self, what: str) -> None:
        self._picture.phase = what
        if not self._console.is_terminal:
            self._line(what)

    def outage(self, done: Done) -> None:
        """It began, or is over and made up for."""
        if done.over is None:
            self._picture.outages.append(done)
            self.phase(done.outage.title)
        elif not self._console.is_terminal:
            _, lasted, waiting, back = outage_cells(done)
            self._line(f"{done.outage.title}: over after {lasted}, {waiting} waited, back in {back}")

    def _line(self, what: str) -> None:
        text = Text(f"{self._picture.now():4.0f} s  {what}")
        self._console.print(text, soft_wrap=True)

    def refresh(self) -> None:
        """Draws the picture anew, where there is one."""
        if self._console.is_terminal:
            self._live.refresh()

    async def _refresh(self) -> None:
        while True:
            self.refresh()
            await asyncio.sleep(_REFRESH_SECONDS)
