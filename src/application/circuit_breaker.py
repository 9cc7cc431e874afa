"""Whether the channel works at all. One a consumer process; nothing is shared between processes."""

from dataclasses import dataclass

from domain.outcome import ChannelDown, Delivered, Outcome, Uncertain
from domain.retry import Jitter

REFUSES_EVERYTHING = "refuses-everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """`channel_failures` in a row, or failures for `failing_keys` different keys in a row, open it.

    Pauses between probes, in seconds, double from `first_pause` to `longest_pause`; a provider's own
    wish (Retry-After) goes before that, up to `longest_wish`.
    """

    channel_failures: int = 3
    failing_keys: int = 20
    first_pause: float = 1.0
    longest_pause: float = 30.0
    longest_wish: float = 3600.0


class CircuitBreaker:
    """Closed: all may go. Open: nothing but one probe at a time. After closing, a ramp from 1 upwards."""

    def __init__(self, concurrency: int, jitter: Jitter, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._jitter = jitter
        self._concurrency = concurrency
        self._failures = 0
        self._failing_keys: set[object] = set()
        self._pause = 0.0
        self._round_left = 0
        self.limit = concurrency  # in flight at once while closed
        self.is_open = False
        self.reason = ""
        self.opened_at = 0.0
        self.next_probe = 0.0
        self.probing = False
        self.probe_round = 0
        self.openings = 0
        self.successes = 0

    @property
    def refuses_everything(self) -> bool:
        return self.is_open and self.reason == REFUSES_EVERYTHING

    def may_probe(self, now: float) -> bool:
        return self.is_open and not self.probing and now >= self.next_probe

    def start_probe(self) -> None:
        self.probing = True

    def end_probe(self) -> None:
        """Whatever came of it, also when it was cut off: the next one may start."""
        self.probing = False

    def start_round(self) -> None:
        """Every held head had its turn: begin again with the first."""
        self.probe_round += 1

    def note(self, outcome: Outcome, key: object, now: float, *, probe: bool) -> None:
        """Learns from one outcome; `key` is what counts as one customer."""
        if isinstance(outcome, Delivered):
            self._note_success()
        elif isinstance(outcome, ChannelDown | Uncertain):
            self._note_channel_failure(outcome, key, now, probe=probe)
        else:
            self._note_answer(key, now, probe=probe)

    def _note_success(self) -> None:
        self.successes += 1
        self._failures = 0
        self._failing_keys.clear()
        if self.is_open:
            self._close()
        elif self.limit < self._concurrency:
            self._climb()

    def _note_channel_failure(
        self, outcome: ChannelDown | Uncertain, key: object, now: float, *, probe: bool
    ) -> None:
        self._failures += 1
        self._remember(key)
        self._round_left = self.limit
        wish = min(outcome.after, self._policy.longest_wish) if isinstance(outcome, ChannelDown) else 0.0
        if self.is_open:
            self._wait_longer(now, wish, grow=probe)
        elif self._failures >= self._policy.channel_failures or _is_certain(outcome):
            self._open(outcome.reason, now, wish)
        elif self._all_keys_fail():
            self._open(REFUSES_EVERYTHING, now, wish)

    def _note_answer(self, key: object, now: float, *, probe: bool) -> None:
        """The provider answered about one message, so the channel itself works, unless it says no to all."""
        self._failures = 0
        self._remember(key)
        if self.refuses_everything:
            self._wait_longer(now, 0.0, grow=probe)
        elif self.is_open:
            self._close()
        elif self._all_keys_fail():
            self._open(REFUSES_EVERYTHING, now, 0.0)
        elif self.limit < self._concurrency:
            self._climb()

    def _remember(self, key: object) -> None:
        """Only until it opens: an outage may last for days, and meet a new key with every probe."""
        if not self.is_open:
            self._failing_keys.add(key)

    def _all_keys_fail(self) -> bool:
        return len(self._failing_keys) >= self._policy.failing_keys

    def _open(self, reason: str, now: float, wish: float) -> None:
        self.is_open = True
        self.reason = reason
        self.opened_at = now
        self.openings += 1
        self.start_round()
        self._pause = self._policy.first_pause
        self.next_probe = now + max(wish, self._drawn())

    def _wait_longer(self, now: float, wish: float, *, grow: bool) -> None:
        if grow:
            self._pause = min(self._pause * 2, self._policy.longest_pause)
            self.next_probe = now + max(wish, self._drawn())
        else:
            self.next_probe = max(self.next_probe, now + wish)

    def _drawn(self) -> float:
        return self._pause * (0.5 + self._jitter() / 2)

    def _close(self) -> None:
        self.is_open = False
        self.reason = ""
        self._failures = 0
        self._failing_keys.clear()
        self.limit = 1
        self._round_left = 1

    def _climb(self) -> None:
        self._round_left -= 1
        if self._round_left <= 0:
            self.limit = min(self.limit * 2, self._concurrency)
            self._round_left = self.limit


def _is_certain(outcome: ChannelDown | Uncertain) -> bool:
    return isinstance(outcome, ChannelDown) and outcome.certain
