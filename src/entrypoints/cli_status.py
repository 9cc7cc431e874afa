"""`herald status`: what became of a message."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import click

from domain.errors import HeraldError
from entrypoints.cli_manual import ManualCommand
from entrypoints.cli_options import Invocation, as_json, example, with_settings
from entrypoints.completion import complete_topics
from entrypoints.screen import printable
from entrypoints.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from domain.status import MessageStatus
    from entrypoints.settings import Loaded
    from entrypoints.settings_model import Settings


STATES = {
    "accepted": "in the log, and not tried yet",
    "retrying": "a try failed; it is tried again by itself",
    "uncertain": "the answer to the last try was lost; it is sent again, with the same id for the provider",
    "sent": "accepted by the server or the provider; whether it reached the person they know",
    "dead": "given up; see herald dead-letters",
    "expired": "not sent any more: its time had passed, or it was discarded",
    "skipped": "it has no address for this channel",
}


@click.command(
    cls=ManualCommand,
    uses=("[broker]", "[sqlite]", "[kafka]", "[status]", "[[topics]]"),
    exit_codes={1: "the message is not known, or the log does not answer"},
    see=("herald dead-letters", "docs/reference/http.md"),
    epilog=example(
        "herald status order-1001",
        "herald status order-1001 --story",
        "herald status order-1001 --topic refunds --json",
    ),
)
@click.argument("request_id")
@with_settings
@click.option(
    "--topic",
    metavar="NAME",
    shell_complete=complete_topics,
    help="Only this topic; without it the newest message of all.",
)
@click.option("--story", is_flag=True, help="Each thing that happened to it: every try, and its end.")
@as_json
def status(
    invocation: Invocation,
    loaded: "Loaded",
    *,
    request_id: str,
    topic: str | None,
    story: bool,
    as_json: bool,
) -> int:
    """What became of one message.

    It is read from the log itself; no API has to run. On Kafka the records of the last [status] hours are
    looked through: one partition where the message had no key, otherwise all, which may take minutes.
    """
    from application.status import status_answer, story_answer  # noqa: PLC0415 - quick start

    found = asyncio.run(_status(invocation, loaded.settings, request_id, _topics(loaded.settings, topic)))
    answer = story_answer(found) if story else status_answer(found)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
        return 0
    place = "{topic_name}, partition {partition}, offset {offset}, accepted {accepted_at}"
    click.echo(place.format(**answer))
    if story:
        _show_story(answer["story"])
        return 0
    columns = ["group", "state", "attempts", "answers lost", "since", "reason", "provider's id"]
    rows = [_delivery_row(group, one) for group, one in answer["deliveries"].items()]
    show_table(columns, rows, whole=["since", "provider's id"])
    _explain({one["state"] for one in answer["deliveries"].values()})
    return 0


def _explain(states: "AbstractSet[str]") -> None:
    """What the states above mean, for a person; a pipe gets the table alone."""
    if sys.stdout.isatty():
        click.echo("".join(f"\n{state}: {means}" for state, means in STATES.items() if state in states))


def _topics(settings: "Settings", topic: str | None) -> frozenset[str] | None:
    if topic is None:
        return None
    names = [one.name for one in settings.configured_topics()]
    if topic not in names:
        raise click.BadParameter(f"'{topic}' is not one of {', '.join(names)}", param_hint="'--topic'")
    return frozenset({topic})


async def _status(
    invocation: Invocation, settings: "Settings", request_id: str, topics: frozenset[str] | None
) -> "MessageStatus":
    from application.status import ReadStatus  # noqa: PLC0415 - quick start
    from entrypoints.screen import tell  # noqa: PLC0415 - quick start

    async with invocation.programs.status_view(settings, tell) as view:
        found = await ReadStatus(view, settings.configured_topics())(request_id, topics)
    if found is None:
        where = ", ".join(sorted(topics or {one.name for one in settings.configured_topics()}))
        raise HeraldError(
            f"no message {printable(request_id)} is known in {where}: check the id, or it is too old"
        )
    return found


def _show_story(story: "Sequence[Mapping[str, object]]") -> None:
    columns = ["at", "group", "event", "attempts", "answers lost", "reason", "provider's id", "dead letter"]
    show_table(columns, list(map(_step_row, story)), whole=["at", "provider's id", "dead letter"])


def _step_row(step: "Mapping[str, object]") -> list[str]:
    due, reason = step["due_at"], str(step["reason"] or "")
    if step["event"] == "deferred":
        reason = f"is tried again at {due}" if due else "waits for an earlier one of its key"
    counts = [str(step[name] or "") for name in ("attempts", "uncertain_attempts")]
    ids = [str(step[name] or "") for name in ("provider_id", "dead_letter")]
    return [str(step["at"]), str(step["group"] or ""), str(step["event"]), *counts, reason, *ids]


def _delivery_row(group: str, delivery: "Mapping[str, object]") -> list[str]:
    shown = [delivery[name] for name in ("state", "attempts", "uncertain_attempts", "updated_at")]
    return [group, *map(str, shown), str(delivery["reason"] or ""), str(delivery["provider_id"] or "")]
