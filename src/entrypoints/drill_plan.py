"""What a drill takes down, in which order and for how long: values, made before anything runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

GROUPS = ("email", "sms")
_PROVIDERS = {"email": "mail server", "sms": "SMS provider"}


class Act(Enum):
    """How something is taken down."""

    CLOSE = "down"  # a provider's port is closed; what it had taken is answered before
    BUSY = "busy"  # a provider asks everybody to come again: 451, 429
    KILL = "SIGKILL"  # a consumer, while it works off a backlog and some recipients are put off
    STOP = "SIGTERM"  # a consumer, started again once it has ended
    BROKER = "stopped"  # by the command that was given for it, and started by the other


@dataclass(frozen=True, slots=True)
class Outage:
    """One thing taken down for so many seconds. `group` is empty for a broker."""

    act: Act
    group: str
    seconds: float

    @property
    def what(self) -> str:
        """What is taken down, as a person says it."""
        if self.act is Act.BROKER:
            return "broker"
        provider = self.act in {Act.CLOSE, Act.BUSY}
        return _PROVIDERS[self.group] if provider else f"{self.group} consumer"

    @property
    def title(self) -> str:
        return f"{self.what} {self.act.value}"

    @property
    def channels(self) -> Sequence[str]:
        """Those that cannot deliver meanwhile."""
        return (self.group,) if self.group else GROUPS


Round = Sequence[Outage]
"""Outages that begin together; the next round begins when all of this one are over and made up for."""


def in_turn(seconds: float, *, broker: bool, together: bool) -> list[Round]:
    """Everything once, each for about `seconds`.

    `together`: both consumers are killed at once, for on Kafka a group waits half a minute for a member
    that died, and two such waits would double the drill.
    """
    kills = [Outage(Act.KILL, group, seconds / 2) for group in GROUPS]
    rounds: list[Round] = [
        [Outage(Act.CLOSE, "email", seconds)],
        [Outage(Act.CLOSE, "sms", seconds)],
        [Outage(Act.BUSY, group, seconds) for group in GROUPS],
        *([kills] if together else [[kill] for kill in kills]),
        [Outage(Act.STOP, group, 0.0) for group in GROUPS],
    ]
    if broker:
        rounds.append([Outage(Act.BROKER, "", seconds)])
    return rounds


def at_random(draw: Random, *, broker: bool) -> Iterator[Round]:
    """Rounds without end: one or two outages at once, each for up to a quarter of a minute."""
    groups = [(act, group) for act in (Act.CLOSE, Act.BUSY, Act.KILL, Act.STOP) for group in GROUPS]
    while True:
        chosen = draw.sample(groups, draw.choice([1, 1, 2]))
        if broker and draw.random() < _BROKER_SHARE:
            chosen = [(Act.BROKER, ""), *chosen[:1]]
        yield _without_clashes([Outage(act, group, _length(act, draw)) for act, group in chosen])


_BROKER_SHARE = 0.3
_LONGEST = 15.0


def _length(act: Act, draw: Random) -> float:
    return 0.0 if act is Act.STOP else round(draw.uniform(1.0, _LONGEST), 1)


def _without_clashes(outages: Round) -> Round:
    """Of two outages of one thing the first: it can be taken down only once."""
    first: dict[str, Outage] = {}
    for outage in outages:
        first.setdefault(outage.what, outage)
    return list(first.values())
