"""What was promised with a 202 and what arrived at the mail server and the SMS provider.

Plain state. A drill's whole verdict is counted here, and nothing that Herald says of itself goes into it.
Moments are seconds of one clock that never goes back.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Excuse:
    """Why messages of a channel may arrive twice: its consumer was killed.

    Excused are at most `most` repeats of what arrived before `until` (the next process was started) by
    what arrives after `since` (the kill). What was on its way to the server at the kill arrives in between.
    """

    since: float
    until: float
    most: int

    def covers(self, repeat: "Repeat") -> bool:
        return repeat.before <= self.until and repeat.at >= self.since


@dataclass(frozen=True, slots=True)
class Repeat:
    """A message arrived at `at` that had arrived already, the last time at `before`."""

    before: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """One channel's result. `beyond`: those of the duplicated that nothing excuses.

    `longest_delay`: seconds from a 202 to the first arrival. `drained_in`: from the last 202 to the last
    first arrival.
    """

    produced: int
    delivered: int
    lost: int
    duplicated: int
    beyond: int
    out_of_order: int
    longest_delay: float
    drained_in: float

    @property
    def holds(self) -> bool:
        """Whether what Herald promises was kept."""
        return not (self.lost or self.beyond or self.out_of_order)


@dataclass(frozen=True, slots=True)
class _Promise:
    key: str | None
    at: float


@dataclass(slots=True)
class _Channel:
    """`waiting`: promised and not arrived, in the order of the promises, with their numbers."""

    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)


class Scoreboard:
    """Told of each 202 and of each arrival; every message is for all the channels."""

    def __init__(self, channels: Sequence[str]) -> None:
        self._promises: dict[str, _Promise] = {}
        self._channels = {name: _Channel() for name in channels}

    def promise(self, request_id: str, key: str | None, at: float) -> None:
        """The API said 202. For one key this is called in the order of its 202s."""
        if request_id in self._promises:
            return
        number = len(self._promises)
        self._promises[request_id] = _Promise(key, at)
        for channel in self._channels.values():
            if request_id not in channel.first:
                channel.waiting[request_id] = number

    def arrive(self, channel: str, request_id: str, at: float) -> None:
        """It was received; before its 202 was read, perhaps."""
        known = self._channels[channel]
        if request_id in known.first:
            known.repeats.append(Repeat(known.last[request_id], at))
        else:
            known.first[request_id] = at
            known.waiting.pop(request_id, None)
        known.last[request_id] = at

    def excuse(self, channel: str, excuse: Excuse) -> None:
        self._channels[channel].excuses.append(excuse)

    # While it runs ----------------------------------------------------------------------------

    @property
    def promised(self) -> int:
        """How many messages had a 202 so far."""
        return len(self._promises)

    def arrived(self, channel: str) -> int:
        """How many different messages were received so far."""
        return len(self._channels[channel].first)

    def waiting(self, channel: str) -> int:
        """How many of those with a 202 did not arrive so far."""
        return len(self._channels[channel].waiting)

    def missing(self, channel: str, promised: int) -> int:
        """How many of the first `promised` messages did not arrive so far."""
        numbers = self._channels[channel].waiting.values()
        return sum(1 for _ in takewhile(lambda number: number < promised, numbers))

    # Judging ----------------------------------------------------------------------------------

    def tally(self, channel: str) -> Tally:
        known = self._channels[channel]
        arrived = {name: at for name, at in known.first.items() if name in self._promises}
        # One that arrived before its 202 was read had no delay.
        delays = [max(0.0, at - self._promises[name].at) for name, at in arrived.items()]
        last_promise = max((promise.at for promise in self._promises.values()), default=0.0)
        return Tally(
            produced=len(self._promises),
            delivered=len(arrived),
            lost=len(known.waiting),
            duplicated=len(known.repeats),
            beyond=self.beyond(channel),
            out_of_order=self._out_of_order(arrived),
            longest_delay=max(delays, default=0.0),
            drained_in=max(0.0, max(arrived.values(), default=0.0) - last_promise),
        )

    def repeats_of(self, channel: str, excuse: Excuse) -> int:
        """How many repeats are put down to this kill: each to the last one that covers it."""
        return sum(found is excuse for found in self._explanations(channel))

    def beyond(self, channel: str) -> int:
        """Repeats that no kill explains, and those that are more than a kill may cause."""
        excuses = self._channels[channel].excuses
        over = [max(0, self.repeats_of(channel, excuse) - excuse.most) for excuse in excuses]
        return sum(over) + sum(found is None for found in self._explanations(channel))

    def _explanations(self, channel: str) -> Iterator[Excuse | None]:
        known = self._channels[channel]
        for repeat in known.repeats:
            yield next((excuse for excuse in reversed(known.excuses) if excuse.covers(repeat)), None)

    def _out_of_order(self, arrived: dict[str, float]) -> int:
        """Messages whose first delivery came after that of a later one of their key."""
        furthest: dict[str, int] = {}
        numbers = {name: number for number, name in enumerate(self._promises)}
        late = 0
        for name in arrived:  # in the order of the first arrivals
            key = self._promises[name].key
            if key is None:
                continue
            if numbers[name] < furthest.get(key, -1):
                late += 1
            furthest[key] = max(numbers[name], furthest.get(key, -1))
        return late
