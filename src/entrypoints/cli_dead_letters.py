"""`herald dead-letters`: what could not be delivered, why, and sending it again."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from domain.errors import HeraldError
from entrypoints.cli_manual import ManualGroup, ManualOption
from entrypoints.cli_options import Invocation, as_json, example, with_settings
from entrypoints.letter_options import Filters, letter_filters, place
from entrypoints.screen import can_ask, printable, progress_bar, who
from entrypoints.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from application.replay import Chosen, ReplayCounts, ReplayDeadLetters
    from domain.dead_letter import KeptLetter, LetterPage, LetterPlace
    from entrypoints.settings import Loaded
    from entrypoints.settings_model import Settings

_ERROR_SHOWN = 60
_USES = ("[broker]", "[sqlite]", "[kafka]", "[[topics]]")


@click.group("dead-letters", cls=ManualGroup, see=("docs/reference/delivery.md",))
def dead_letters() -> None:
    """See what could not be delivered, and send it again."""


@dead_letters.command(
    "list",
    uses=_USES,
    epilog=example("herald dead-letters list", "herald dead-letters list --group sms --since 2h --json"),
    see=("herald dead-letters show", "docs/reference/delivery.md"),
)
@letter_filters
@click.option(
    "--limit", type=click.IntRange(1, 10_000), metavar="N", default=100, show_default=True, help="How many."
)
@click.option("--after", metavar="NEXT", callback=place, help="Go on behind an earlier list.")
@with_settings
@as_json
def list_(
    invocation: Invocation,
    loaded: "Loaded",
    *,
    limit: int,
    after: "LetterPlace | None",
    as_json: bool,
    **given: Any,
) -> int:
    """What could not be delivered, oldest failure first.

    Addresses and bodies are not shown. It is read from the log itself: neither the API nor a consumer has to
    run.
    """
    from application.dead_letter_answer import dead_letters_answer  # noqa: PLC0415 - quick start

    page = asyncio.run(_find(invocation, loaded.settings, Filters(**given), after, limit))
    answer = dead_letters_answer(page)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return 0
    columns = ["id", "request id", "key", "reason", "error", "attempts", "failed at", "replays"]
    rows = list(map(_row, page.letters, answer["dead_letters"]))
    show_table(columns, rows, whole=["id", "request id", "key", "failed at"])
    if page.next is not None:
        click.echo(f"There are more: add --after {page.next}", err=True)
    return 0


@dead_letters.command(
    uses=_USES,
    epilog=example("herald dead-letters show transactions.email-3-42", "herald dead-letters show ID --json"),
    see=("herald dead-letters list", "herald status"),
)
@click.argument("letter_id", metavar="ID")
@with_settings
@as_json
def show(invocation: Invocation, loaded: "Loaded", *, letter_id: str, as_json: bool) -> int:
    """Everything about one dead letter.

    Its address and its body too: mind who looks over your shoulder.
    """
    from application.dead_letter_answer import whole_letter  # noqa: PLC0415 - quick start

    kept = asyncio.run(_get(invocation, loaded.settings, letter_id))
    told = whole_letter(kept)
    if as_json:
        click.echo(json.dumps(told, ensure_ascii=False))
        return 0
    headers = [(f"header {one.pop('name')}", next(iter(one.values()))) for one in told.pop("headers")]
    rows = [*((name.replace("_", " "), value) for name, value in told.items()), *headers]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{printable(name):{width}}  {_shown(value)}".rstrip())
    return 0


@dead_letters.command(
    uses=_USES,
    exit_codes={1: "not all that was asked for is done; given again, it goes on"},
    see=("herald dead-letters list", "docs/reference/delivery.md"),
    epilog=example(
        "herald dead-letters replay transactions.email-3-42",
        "herald dead-letters replay --group email --reason refused --rate 10",
        "herald dead-letters replay --all --yes",
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@letter_filters
@click.option(
    "--all", "everything", is_flag=True, cls=ManualOption, section="Which dead letters", help="All of them."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0),
    metavar="N",
    default=0,
    help="At most so many a second; 0: no limit.",
)
@with_settings
def replay(
    invocation: Invocation,
    loaded: "Loaded",
    *,
    ids: tuple[str, ...],
    everything: bool,
    yes: bool,
    dry_run: bool,
    rate: float,
    **given: Any,
) -> int:
    """Sends dead letters again, by their ids, by filters, or all.

    Each goes back to the group that could not deliver it, and to no other, behind what waits already. What
    was sent again and died three times is parked. Begun anew after it was stopped, it goes on.
    """
    chosen = _chosen(loaded.settings, ids, Filters(**given), everything=everything)
    if not (yes or dry_run or can_ask()):
        raise click.UsageError("nobody can be asked here: add --yes, or --dry-run to look only.")
    work = _Replaying(invocation, loaded.settings, chosen)
    counts = work.survey()
    if not dry_run and counts.replayed:
        if not yes:
            click.confirm(f"Send {_letters(counts.replayed)} again?", abort=True)
        counts = work.replay(rate, counts.done)
    click.echo(_summary(counts, "would be sent again" if dry_run else "sent again"))
    if trouble := _trouble(counts, by_id=bool(ids)):
        raise HeraldError(trouble)
    return 0


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else printable(str(value))


def _chosen(settings: "Settings", ids: tuple[str, ...], filters: Filters, *, everything: bool) -> "Chosen":
    if sum([bool(ids), filters.narrow, everything]) != 1:
        raise click.UsageError("say which: either ids, or filters such as --reason, or --all.")
    return ids or filters.wanted(settings.configured_topics())


class _Replaying:
    """One choice of letters, looked at and sent again."""

    def __init__(self, invocation: Invocation, settings: "Settings", chosen: "Chosen") -> None:
        self._invocation = invocation
        self._settings = settings
        self._chosen = chosen

    def survey(self) -> "ReplayCounts":
        return self._with_letters(lambda letters: letters.survey(self._chosen))

    def replay(self, rate: float, total: int) -> "ReplayCounts":
        by = who()
        with progress_bar(total, "Sending again") as advance_to:
            return self._with_letters(
                lambda letters: letters(
                    self._chosen, by=by, per_second=rate, progress=lambda counts: advance_to(counts.done)
                )
            )

    def _with_letters(
        self, act: "Callable[[ReplayDeadLetters], Coroutine[Any, Any, ReplayCounts]]"
    ) -> "ReplayCounts":
        from adapters.system_clock import SystemClock  # noqa: PLC0415 - quick start
        from application.replay import ReplayDeadLetters  # noqa: PLC0415 - quick start

        async def run() -> "ReplayCounts":
            async with self._invocation.programs.dead_letter_archive(self._settings) as archive:
                return await act(ReplayDeadLetters(archive, SystemClock()))

        return asyncio.run(run())


def _summary(counts: "ReplayCounts", what: str) -> str:
    others = {
        "had been sent again before": counts.already,
        "parked": counts.parked,
        "failed": counts.failed,
    }
    return ", ".join(
        [f"{_letters(counts.replayed)} {what}", *(f"{n} {name}" for name, n in others.items() if n)]
    )


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def _trouble(counts: "ReplayCounts", *, by_id: bool) -> str:
    """Why not all that was asked for is done."""
    if counts.failed:
        return f"{counts.trouble}; mend that and give the command again: it goes on"
    if counts.unknown:
        return _unknown(", ".join(counts.unknown))
    if counts.parked and by_id:
        return "what was sent again three times and died each time is parked: produce it anew"
    return ""


def _unknown(letter_ids: str) -> str:
    return f"there is no dead letter {printable(letter_ids)}: see herald dead-letters list"


async def _find(
    invocation: Invocation, settings: "Settings", filters: Filters, after: "LetterPlace | None", limit: int
) -> "LetterPage":
    wanted = filters.wanted(settings.configured_topics())
    async with invocation.programs.dead_letter_archive(settings) as archive:
        page: LetterPage = await archive.find(wanted, after=after, limit=limit)
    return page


async def _get(invocation: Invocation, settings: "Settings", letter_id: str) -> "KeptLetter":
    async with invocation.programs.dead_letter_archive(settings) as archive:
        kept: KeptLetter | None = await archive.get(letter_id)
    if kept is None:
        raise HeraldError(_unknown(letter_id))
    return kept


def _row(kept: "KeptLetter", letter: "Mapping[str, Any]") -> list[str]:
    error = letter["error"]
    shown = f"{error[:_ERROR_SHOWN]}…" if len(error) > _ERROR_SHOWN else error
    cells = [letter["id"], letter["request_id"], letter["key"] or "", letter["reason"], shown]
    replays = f"{kept.replays}{', sent again' if kept.replayed else ''}{', parked' if kept.is_parked else ''}"
    return [printable(str(cell)) for cell in (*cells, letter["attempts"], letter["failed_at"], replays)]
