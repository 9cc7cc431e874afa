"""The options that choose dead letters, and what they mean."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import astuple, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from domain.dead_letter import LetterFilter, parse_place
from domain.outcome import DeadLetterReason
from entrypoints.cli_manual import ManualOption
from entrypoints.completion import complete_groups, complete_topics
from entrypoints.moments import FORMS, epoch_seconds

if TYPE_CHECKING:
    from domain.dead_letter import LetterPlace
    from domain.topic import Topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """As given; None: not given."""

    group: str | None
    topic: str | None
    reason: str | None
    key: str | None
    since: float | None
    until: float | None

    @property
    def narrow(self) -> bool:
        return any(given is not None for given in astuple(self))

    def wanted(self, topics: "Sequence[Topic]") -> LetterFilter:
        """`topics`: those configured. A group or a topic that is none of them is wrong usage."""
        groups = {group for topic in topics for group in topic.groups}
        _known("--group", self.group, groups)
        _known("--topic", self.topic, {topic.name for topic in topics})
        return LetterFilter(
            group=self.group or "",
            topics=frozenset({self.topic} if self.topic else ()),
            reason=self.reason or "",
            key=self.key or "",
            since=self.since or 0.0,
            until=float("inf") if self.until is None else self.until,
        )


def _known(option: str, given: str | None, names: "AbstractSet[str]") -> None:
    if given is not None and given not in names:
        raise click.BadParameter(
            f"'{given}' is not one of {', '.join(sorted(names))}", param_hint=f"'{option}'"
        )


def _moment(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    """Epoch seconds."""
    if text is None:
        return None
    moment = epoch_seconds(text)
    if moment is None:
        raise click.BadParameter(f"'{text}' is no time: give {FORMS}")
    return moment


def _key(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """An empty one would not narrow: from a script's unset variable it would mean all letters."""
    if text == "":
        raise click.BadParameter("is empty")
    return text


def place(_: click.Context, __: click.Parameter, text: str | None) -> "LetterPlace | None":
    """Where a list goes on."""
    parsed = None if text is None else parse_place(text)
    if text is not None and parsed is None:
        raise click.BadParameter(f"'{text}' is not what an earlier list ended with")
    return parsed


_filter = partial(click.option, cls=ManualOption, section="Which dead letters")
_OPTIONS = (
    _filter("--group", metavar="NAME", shell_complete=complete_groups, help="Only of this group."),
    _filter("--topic", metavar="NAME", shell_complete=complete_topics, help="Only of this topic."),
    _filter(
        "--reason",
        type=click.Choice([one.value for one in DeadLetterReason]),
        metavar="REASON",
        help=f"Only these: {', '.join(DeadLetterReason)}.",
    ),
    _filter("--key", metavar="KEY", callback=_key, help="Only of this key."),
    _filter("--since", metavar="TIME", callback=_moment, help="Failed then or later: 2h, 7d, a date."),
    _filter("--until", metavar="TIME", callback=_moment, help="Failed before then."),
)


def letter_filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `Filters`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
