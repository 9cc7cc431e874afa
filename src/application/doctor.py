"""Looks at everything that Herald needs, side by side, each for a bounded time; changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from domain.diagnosis import ClockReading, Finding, FindingState, Seen, ok, unknown, warning, wrong
from domain.errors import HeraldError
from domain.ports import Clock

CLOCK_SECONDS = 5.0
"""A clock that differs by less is well: expiry and retries are told in seconds."""
CLOCK_WRONG_SECONDS = 60.0

_BAD = {FindingState.WRONG, FindingState.UNKNOWN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One look. `names`: of its findings, when it cannot tell them itself; `seconds`: how long it may take.

    `of_log`: it asks the log, and is not asked where the log does not answer.
    """

    names: tuple[str, ...]
    look: Callable[[], Awaitable[Seen]]
    seconds: float = 5.0
    of_log: bool = False


class Doctor:
    """`log`: whether the log answers. The other checks come behind it as given, and the clock last."""

    def __init__(self, log: Check, others: Sequence[Check], clock: Clock) -> None:
        self._log = log
        self._others = tuple(others)
        self._clock = clock

    @property
    def checks(self) -> int:
        """How many there are, for a bar."""
        return 1 + len(self._others)

    async def __call__(self, done: Callable[[], None] = lambda: None) -> list[Finding]:
        """Every finding; `done` is told of each check that is.

        Over as soon as the look at the log, and the slowest one behind it, had their time.
        """
        log = asyncio.create_task(self._look(self._log))
        tasks = [log, *(asyncio.create_task(self._look_after(log, check)) for check in self._others)]
        for task in tasks:
            task.add_done_callback(lambda _: done())
        try:
            seen = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        findings = [finding for one in seen for finding in one.findings]
        return [*findings, clock_finding([reading for one in seen for reading in one.clocks])]

    async def _look_after(self, log: "asyncio.Task[Seen]", check: Check) -> Seen:
        """`asyncio.shield`: who is cancelled here must not end the look at the log for the others."""
        if check.of_log and not _has_one_that_is_well(await asyncio.shield(log)):
            return Seen(tuple(unknown(name, "not asked: see the log") for name in check.names))
        return await self._look(check)

    async def _look(self, check: Check) -> Seen:
        looking = asyncio.ensure_future(check.look())
        sleeping = asyncio.ensure_future(self._clock.sleep(check.seconds))
        try:
            await asyncio.wait({looking, sleeping}, return_when=asyncio.FIRST_COMPLETED)
            return _result(check, looking)
        finally:
            # Not waited for: what swallows that it is cancelled must not hold the others up.
            looking.cancel()
            sleeping.cancel()


def _result(check: Check, looking: "asyncio.Future[Seen]") -> Seen:
    if not looking.done():
        says = f"no answer within {check.seconds:g} seconds"
        return Seen(
            tuple(unknown(name, says, "look at the other lines, and try again") for name in check.names)
        )
    try:
        return looking.result()
    except HeraldError as error:
        return Seen(tuple(wrong(name, str(error)) for name in check.names))
    except Exception as error:  # noqa: BLE001 - one check that fails must not hide what the others found
        says = f"the look at it failed ({type(error).__name__})"
        return Seen(tuple(unknown(name, says, "tell Herald's makers") for name in check.names))


def _has_one_that_is_well(seen: Seen) -> bool:
    """Of three brokers one may be away, and a group's file be damaged: the others tell what they know."""
    return any(finding.state is FindingState.OK for finding in seen.findings)


def is_bad(findings: Iterable[Finding]) -> bool:
    """Whether any of it is more than a warning."""
    return any(finding.state in _BAD for finding in findings)


def clock_finding(readings: Sequence[ClockReading]) -> Finding:
    """What the others' times say of this machine's clock: the one that differs most decides."""
    name = "clock"
    telling = [reading for reading in readings if not reading.may_lag or reading.ahead > 0]
    if not readings:
        return warning(name, "nobody told a time to compare with", "see that NTP runs on this machine")
    worst = max(telling, key=lambda reading: abs(reading.ahead), default=None)
    if worst is None or abs(worst.ahead) < CLOCK_SECONDS:
        return ok(name, f"agrees with {' and '.join(dict.fromkeys(one.source for one in readings))}")
    side = "behind" if worst.ahead > 0 else "ahead of"
    says = f"this machine is {abs(worst.ahead):.0f} s {side} {worst.source}"
    remedy = "set the clocks right: run NTP on both machines"
    return (wrong if abs(worst.ahead) >= CLOCK_WRONG_SECONDS else warning)(name, says, remedy)
