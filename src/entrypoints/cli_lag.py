"""`herald lag`: how far the groups are behind, once or again and again."""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

import click

from domain.errors import LogUnavailable
from entrypoints.cli_manual import ManualCommand
from entrypoints.cli_options import Invocation, as_json, example, with_settings
from entrypoints.screen import tell
from entrypoints.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from domain.lag import Lag
    from domain.ports import Clock
    from entrypoints.settings import Loaded

WATCH_SECONDS = 2.0
_COLUMNS = ("group", "topic", "partition", "end", "committed", "lag", "deferred", "oldest unfinished")
_TO_THE_TOP = "\x1b[H\x1b[J"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@click.command(
    cls=ManualCommand,
    uses=("[broker]", "[sqlite]", "[kafka]", "[[topics]]"),
    epilog=example("herald lag", "herald lag --watch", "herald lag --json"),
    see=("herald doctor", "herald status"),
)
@with_settings
@click.option("--watch", is_flag=True, help=f"Again every {WATCH_SECONDS:g} seconds, until Ctrl-C.")
@as_json
def lag(invocation: Invocation, loaded: "Loaded", *, watch: bool, as_json: bool) -> int:
    """How far each group is behind.

    It is read from the log itself: neither the API nor a consumer has to run. With both --watch and --json
    there is an object a line.
    """
    show = _show_json if as_json else (_show_again if watch else _show)
    try:
        asyncio.run(_look(invocation, loaded, show, watches=watch))
    except KeyboardInterrupt:
        if not watch:
            raise
    return 0


async def _look(
    invocation: Invocation, loaded: "Loaded", show: "Callable[[Sequence[Lag]], None]", *, watches: bool
) -> None:
    from adapters.system_clock import SystemClock  # noqa: PLC0415 - quick start
    from application.lag import ReadLags  # noqa: PLC0415 - quick start

    async with invocation.programs.group_lags(loaded.settings) as lags:
        read = ReadLags(lags, loaded.settings.configured_topics(), SystemClock())
        if watches:
            await look_again(read, show, SystemClock())
        else:
            show(await read())


async def look_again(
    read: "Callable[[], Awaitable[Sequence[Lag]]]", show: "Callable[[Sequence[Lag]], None]", clock: "Clock"
) -> "NoReturn":
    """A log that does not answer is told, and asked again."""
    while True:
        try:
            show(await read())
        except LogUnavailable as error:
            tell(str(error))
        await clock.sleep(WATCH_SECONDS)


def _show_json(lags: "Sequence[Lag]") -> None:
    from application.lag import lag_answer  # noqa: PLC0415 - quick start

    click.echo(json.dumps(lag_answer(lags), ensure_ascii=False))


def _show(lags: "Sequence[Lag]") -> None:
    show_table(_COLUMNS, [_row(one) for one in lags], whole=["topic"])


def _show_again(lags: "Sequence[Lag]") -> None:
    """On a terminal in place of what stood there before."""
    moves = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    click.echo(_TO_THE_TOP if moves else "", nl=not moves, color=moves or None)
    click.echo(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}, every {WATCH_SECONDS:g} s; Ctrl-C ends.")
    _show(lags)


def _row(lag: "Lag") -> list[str]:
    committed = "never" if lag.committed is None else str(lag.committed)
    numbers = (lag.lag, lag.deferred)
    oldest = _age(lag.oldest_unfinished_seconds) if any(numbers) else ""
    return [lag.group, lag.topic, str(lag.partition), str(lag.end), committed, *map(str, numbers), oldest]


def _age(seconds: float) -> str:
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} s"
