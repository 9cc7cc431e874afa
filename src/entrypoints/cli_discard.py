"""`herald topics discard`: ends a group's older messages without sending them."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from domain.discard import CLOCKS_DIFFER_SECONDS
from entrypoints.cli_manual import ManualCommand
from entrypoints.cli_options import Invocation, example, with_settings
from entrypoints.completion import complete_groups, complete_topics
from entrypoints.moments import FORMS, epoch_seconds
from entrypoints.screen import can_ask, who

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.discard import Discard
    from domain.topic import Topic
    from entrypoints.settings import Loaded
    from entrypoints.settings_model import Settings


def _before(_: click.Context, __: click.Parameter, text: str) -> float:
    """Epoch seconds. A time to come would promise what no order does: later messages are never discarded."""
    now = time.time()
    if text == "now":
        return now + CLOCKS_DIFFER_SECONDS
    moment = epoch_seconds(text)
    if moment is None:
        raise click.BadParameter(f"'{text}' is no time: give now, {FORMS}")
    if moment > now:
        raise click.BadParameter(f"'{text}' is still to come, and no order takes later messages: give now")
    return moment


@click.command(
    cls=ManualCommand,
    uses=("[broker]", "[sqlite]", "[kafka]", "[[topics]]", "[delivery]"),
    exit_codes={1: "the log does not answer, or the question was answered with no"},
    epilog=example(
        "herald topics discard transactions --group email --before now --dry-run",
        "herald topics discard transactions --group email --before 2h",
        "herald topics discard orders --group sms --before 2025-01-31 --yes",
    ),
    see=("herald lag", "herald status", "docs/howto/stop-a-campaign.md"),
)
@click.argument("topic_name", metavar="TOPIC", shell_complete=complete_topics)
@click.option(
    "--group",
    required=True,
    metavar="NAME",
    shell_complete=complete_groups,
    help="Whose messages: email or sms.",
)
@click.option(
    "--before",
    required=True,
    metavar="TIME",
    callback=_before,
    help="What came into the log before then: now, 2h (ago), 7d, a date, a time.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many it would be.")
@click.option("--yes", is_flag=True, help="Do not count and do not ask: the order is given at once.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of sentences.")
@with_settings
def discard(
    invocation: Invocation,
    loaded: "Loaded",
    *,
    topic_name: str,
    group: str,
    before: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Ends a group's older messages without sending them: a wrong campaign is stopped.

    Messages in the log from before TIME that the group has not finished end as expired, with the reason
    discarded; also those that wait for a retry or were put off. Later ones are sent as ever, and so is what
    is produced again. It cannot be taken back.
    """
    topic = _topic(loaded.settings.configured_topics(), topic_name, group)
    if not (yes or dry_run or can_ask()):
        raise click.UsageError("nobody can be asked here: add --yes, or --dry-run to look only.")
    work = _Discarding(invocation, loaded.settings, topic, group, before)
    messages = work.survey() if dry_run or not yes else None
    if messages and not dry_run:
        click.confirm(f"End {work.what(messages)} without sending?", abort=True, err=True)
    order = None if dry_run or messages == 0 else work.order()
    click.echo(json.dumps(work.answer(messages, order)) if as_json else work.told(messages, order))
    return 0


def _topic(topics: "Sequence[Topic]", name: str, group: str) -> "Topic":
    """The configured one; another one, or a group that does not read it, is wrong usage."""
    topic = next((one for one in topics if one.name == name), None)
    if topic is None:
        known = ", ".join(sorted(one.name for one in topics))
        raise click.BadParameter(f"'{name}' is not one of {known}", param_hint="'TOPIC'")
    if group not in topic.groups:
        known = ", ".join(topic.groups)
        raise click.BadParameter(f"'{group}' does not read {name}: give {known}", param_hint="'--group'")
    return topic


class _Discarding:
    """One order: looked at, given, and told of."""

    def __init__(
        self, invocation: Invocation, settings: "Settings", topic: "Topic", group: str, before: float
    ) -> None:
        self._programs = invocation.programs
        self._settings = settings
        self._topic = topic
        self._group = group
        self._before = before

    def survey(self) -> int:
        return asyncio.run(self._survey())

    def order(self) -> "Discard":
        return asyncio.run(self._order())

    async def _survey(self) -> int:
        from adapters.message_sighting import sighting_of  # noqa: PLC0415 - quick start
        from application.discard_messages import SurveyDiscard  # noqa: PLC0415 - quick start

        settings = self._settings
        async with AsyncExitStack() as stack:
            lags = await stack.enter_async_context(self._programs.group_lags(settings))
            backlog = await stack.enter_async_context(self._programs.group_backlog(settings))
            survey = SurveyDiscard(lags, backlog, sighting_of, settings.delivery.dedupe_messages)
            return await survey(self._topic, self._group, self._before)

    async def _order(self) -> "Discard":
        from adapters.system_clock import SystemClock  # noqa: PLC0415 - quick start
        from application.discard_messages import GiveDiscardOrder  # noqa: PLC0415 - quick start

        async with AsyncExitStack() as stack:
            lags = await stack.enter_async_context(self._programs.group_lags(self._settings))
            orders = await stack.enter_async_context(self._programs.discard_orders(self._settings))
            give = GiveDiscardOrder(lags, orders, SystemClock())
            return await give(self._topic, self._group, self._before, by=who())

    def what(self, messages: int) -> str:
        count = "1 message" if messages == 1 else f"{messages} messages"
        since = "" if self._is_now else f" from before {_rfc3339(self._before)}"
        return f"{count} of {self._topic.name}{since} that {self._group} has not finished"

    def told(self, messages: int | None, order: "Discard | None") -> str:
        if order is None:
            return f"{self.what(messages or 0)}: {'would end' if messages else 'nothing to discard'}"
        since = "" if self._is_now else f" from before {_rfc3339(self._before)}"
        return (
            f"ordered: what {self._topic.name} has{since}, and {self._group} has not finished, ends as "
            "expired (discarded).\nConsumers obey within seconds, those that do not run when they start. "
            "See herald lag."
        )

    def answer(self, messages: int | None, order: "Discard | None") -> dict[str, object]:
        return {
            "topic_name": self._topic.name,
            "group": self._group,
            "before": _rfc3339(self._before if order is None else order.before),
            "messages": messages,
            "ordered": order is not None,
        }

    @property
    def _is_now(self) -> bool:
        return self._before > time.time()


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
