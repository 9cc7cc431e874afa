"""`herald topics`: what exists in the log, and making what is missing."""

import asyncio
import json
from typing import TYPE_CHECKING, TypeVar

import click

from entrypoints.cli_discard import discard
from entrypoints.cli_manual import ManualGroup
from entrypoints.cli_options import Invocation, as_json, example, with_settings
from entrypoints.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from application.apply_topics import ApplyTopics, ListedTopic
    from entrypoints.settings import Loaded

Answer = TypeVar("Answer")


@click.group(cls=ManualGroup, see=("docs/reference/topics.md",))
def topics() -> None:
    """List or create the topics, or stop what waits in one."""


@topics.command(
    "list",
    uses=("[broker]", "[sqlite]", "[kafka]", "[[topics]]"),
    epilog=example("herald topics list", "herald topics list --json"),
    see=("herald topics apply", "docs/reference/topics.md"),
)
@with_settings
@as_json
def list_(invocation: Invocation, loaded: "Loaded", *, as_json: bool) -> int:
    """The topics and who is subscribed.

    Herald's own topics stand below the one that they belong to. What is not made yet is shown as the settings
    have it.
    """
    from application.apply_topics import topics_answer  # noqa: PLC0415 - quick start

    listed = _with_catalog(invocation, loaded, lambda topics: topics.list_topics())
    if as_json:
        click.echo(json.dumps(topics_answer(listed), ensure_ascii=False))
        return 0
    columns = ["topic", "partitions", "copies", "kept", "groups", "exists"]
    show_table(columns, [_row(topic) for topic in listed], whole=["topic"])
    return 0


@topics.command(
    uses=("[broker]", "[sqlite]", "[kafka]", "[[topics]]"),
    exit_codes={1: "one exists with other numbers, or the log refuses one or does not answer"},
    epilog=example("herald topics apply", "herald topics apply --config /etc/herald.toml"),
    see=("herald topics list", "docs/reference/topics.md"),
)
@with_settings
def apply(invocation: Invocation, loaded: "Loaded") -> int:
    """Creates the topics that are missing.

    Every process does the same when it boots. What exists with other numbers is an error, and then nothing
    is created.
    """
    applied = _with_catalog(invocation, loaded, lambda topics: topics())
    for name in applied.created:
        click.echo(f"created {name}")
    if applied.trouble:
        raise click.ClickException(
            f"messages have their topics, but no process can be seen: {applied.trouble}"
        )
    if not applied.created:
        click.echo("every topic exists already")
    return 0


topics.add_command(discard)


def _row(topic: "ListedTopic") -> list[str]:
    return [
        f"  {topic.plan.name}" if topic.own_of else topic.plan.name,
        str(topic.partitions),
        str(topic.replication_factor or "by brokers"),
        _retention(_kept_ms(topic)),
        ", ".join(topic.groups),
        "yes" if topic.found else "no",
    ]


def _kept_ms(topic: "ListedTopic") -> int:
    found = topic.found.retention_ms if topic.found else None
    return topic.plan.retention_ms if found is None else found


def _retention(ms: int) -> str:
    return "forever" if ms < 0 else f"{ms / 3_600_000:g} h"


def _with_catalog(
    invocation: Invocation, loaded: "Loaded", act: "Callable[[ApplyTopics], Awaitable[Answer]]"
) -> Answer:
    from application.apply_topics import ApplyTopics  # noqa: PLC0415 - quick start
    from entrypoints.build_on_kafka import presence_topic_of  # noqa: PLC0415 - quick start

    settings = loaded.settings

    async def run() -> Answer:
        async with invocation.programs.topic_catalog(settings) as catalog:
            days, presence = settings.broker.dead_letter_days, presence_topic_of(settings)
            use_case = ApplyTopics(catalog, settings.configured_topics(), days, presence)
            return await act(use_case)

    return asyncio.run(run())
