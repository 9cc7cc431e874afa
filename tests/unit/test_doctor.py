"""How the doctor looks: side by side, each look bounded, and one that fails stops no other."""

import asyncio
from collections.abc import Sequence

import pytest

from application.doctor import Check, Doctor, clock_finding, is_bad
from domain.diagnosis import ClockReading, Finding, FindingState, Seen, ok, unknown, warning, wrong
from domain.errors import LogUnavailable
from tests.fakes import FakeClock

LOG = ok("log", "there")


def check(name: str, *findings: Finding, of_log: bool = False, clocks: Sequence[ClockReading] = ()) -> Check:
    async def look() -> Seen:
        return Seen(findings or (ok(name, "well"),), tuple(clocks))

    return Check(names=(name,), look=look, of_log=of_log)


def failing(name: str, error: Exception) -> Check:
    async def look() -> Seen:
        raise error

    return Check(names=(name,), look=look)


class Hanging:
    """A look that never ends; `ignores`: also where it is told to."""

    def __init__(self, *, ignores: bool = False) -> None:
        self._ignores = ignores
        self.released = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> Seen:
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                if not self._ignores:
                    raise
        return Seen()


async def found(log: Check, *others: Check) -> list[Finding]:
    return await Doctor(log, others, FakeClock())()


async def test_what_is_found_comes_in_the_order_of_the_checks_and_the_clock_last() -> None:
    findings = await found(check("log", LOG), check("b"), check("a", ok("a1", "x"), ok("a2", "y")))

    assert [one.name for one in findings] == ["log", "b", "a1", "a2", "clock"]


async def test_a_look_that_fails_is_told_and_stops_no_other() -> None:
    findings = await found(
        check("log", LOG),
        failing("topics", LogUnavailable("the disk is full: make room on it")),
        failing("ports", RuntimeError("secret")),
        check("disk"),
    )

    assert findings[1:4] == [
        wrong("topics", "the disk is full: make room on it"),
        unknown("ports", "the look at it failed (RuntimeError)", "tell Herald's makers"),
        ok("disk", "well"),
    ]


@pytest.mark.parametrize("ignores", [False, True])
async def test_a_look_that_hangs_is_given_up_in_its_time(*, ignores: bool) -> None:
    clock, hanging = FakeClock(), Hanging(ignores=ignores)
    doctor = Doctor(check("log", LOG), [Check(names=("a", "b"), look=hanging, seconds=5.0)], clock)

    running = asyncio.create_task(doctor())
    await clock.advance(4.9)
    before = running.done()
    await clock.advance(0.2)
    findings = await running
    await clock.settle()
    hanging.released.set()

    assert not before
    assert [(one.name, one.state, one.says) for one in findings[1:3]] == [
        (name, FindingState.UNKNOWN, "no answer within 5 seconds") for name in ("a", "b")
    ]
    assert hanging.cancelled


async def test_the_looks_run_side_by_side() -> None:
    met = asyncio.Barrier(3)

    async def look() -> Seen:
        await met.wait()
        return Seen()

    findings = await found(*(Check(names=(name,), look=look) for name in "abc"))

    assert [one.name for one in findings] == ["clock"]


async def test_where_the_log_is_away_nobody_asks_it_anything() -> None:
    asked = Hanging()
    others = [Check(names=("topics", "retention"), look=asked, of_log=True), check("disk")]

    findings = await Doctor(check("log", wrong("log", "away")), others, FakeClock())()

    assert findings[1:4] == [
        unknown("topics", "not asked: see the log"),
        unknown("retention", "not asked: see the log"),
        ok("disk", "well"),
    ]


async def test_where_one_of_its_brokers_is_away_the_log_is_asked() -> None:
    log = check("log", ok("log", "two brokers"), wrong("log", "the third is away"))

    findings = await found(log, check("topics", of_log=True))

    assert findings[2] == ok("topics", "well")


async def test_each_look_that_is_done_is_told_for_a_bar() -> None:
    told: list[None] = []
    doctor = Doctor(check("log", LOG), [check("a"), failing("b", ValueError())], FakeClock())

    await doctor(lambda: told.append(None))

    assert len(told) == doctor.checks == 3


@pytest.mark.parametrize(
    ("finding", "bad"),
    [(ok("a", ""), False), (warning("a", "", ""), False), (wrong("a", ""), True), (unknown("a", ""), True)],
)
def test_what_is_wrong_or_not_known_is_bad_and_a_warning_is_not(finding: Finding, *, bad: bool) -> None:
    assert is_bad([ok("b", ""), finding]) == bad


def reading(ahead: float, source: str = "the SMS provider", *, may_lag: bool = False) -> ClockReading:
    return ClockReading(source=source, ahead=ahead, may_lag=may_lag)


@pytest.mark.parametrize(
    ("readings", "state", "says"),
    [
        ([reading(0.4)], FindingState.OK, "agrees with the SMS provider"),
        ([reading(0.4), reading(-900, "a record", may_lag=True)], FindingState.OK, "agrees with"),
        ([reading(-900, "a record", may_lag=True)], FindingState.OK, "agrees with a record"),
        ([reading(8)], FindingState.WARNING, "this machine is 8 s behind the SMS provider"),
        ([reading(-8)], FindingState.WARNING, "this machine is 8 s ahead of the SMS provider"),
        ([reading(1), reading(90, "a record", may_lag=True)], FindingState.WRONG, "90 s behind a record"),
        ([reading(-3600)], FindingState.WRONG, "this machine is 3600 s ahead of the SMS provider"),
        ([], FindingState.WARNING, "nobody told a time"),
    ],
)
def test_the_clock_is_judged_by_who_differs_most(
    readings: Sequence[ClockReading], state: FindingState, says: str
) -> None:
    finding = clock_finding(readings)

    assert (finding.name, finding.state) == ("clock", state)
    assert says in finding.says
    assert bool(finding.remedy) == (state is not FindingState.OK)
