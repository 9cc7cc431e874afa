"""Any course of events on the way to Kafka: every call ends, and says nothing that the log does not have."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import errors
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.kafka_batches import RECORD_OVERHEAD, Backlog
from adapters.kafka_writer import KafkaWriter
from domain.log import NewRecord, Receipt, Shard, Unconfirmed
from tests.simulation.virtual_time import run_in_virtual_time

LIMIT_SECONDS = 8.0
FLIGHT_SECONDS = 24.0
MOST_WAITING = 30
BATCH = 4  # records
VALUE_BYTES = 8
LARGE, FORMLESS = b"L", b"F"  # how a value begins that the broker refuses, or that no batch takes
TURNS = 12  # of the loop, for all that can go on by itself

Answers = Sequence[Receipt | Unconfirmed]


class Batch:
    """Takes a few records, and stumbles over some, as aiokafka's does."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self.values: list[bytes] = []
        self._tell = tell

    def append(self, *, value: bytes, **_: object) -> object | None:
        self._tell(value)
        if value.startswith(FORMLESS):
            raise AttributeError(value)
        if len(self.values) == BATCH:
            return None
        self.values.append(value)
        return self


@dataclass(eq=False)
class Flight:
    """A batch that aiokafka has. `asked`: what Herald waits for. `writes_late`: whatever Herald was told,
    it is written before the next one."""

    shard: Shard
    values: Sequence[bytes]
    confirmed: asyncio.Future[Any]
    asked: asyncio.Future[Any]
    writes_late: bool = True


@dataclass
class Kafka:
    """The producer that is alive, or not, and the log behind it."""

    flights: list[Flight] = field(default_factory=list)
    log: dict[Shard, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    is_there: asyncio.Event = field(default_factory=asyncio.Event)
    callers: dict[bytes, asyncio.Task[Answers]] = field(default_factory=dict)  # of each value
    faults: list[str] = field(default_factory=list)  # Herald's; raised, it would take them for Kafka's

    async def get(self) -> "Kafka":
        await self.is_there.wait()
        return self

    def why_away(self) -> str | None:
        return None if self.is_there.is_set() else "away"

    def worked(self) -> None: ...

    def failed(self, _producer: object, error: BaseException) -> None:
        if isinstance(error, errors.ProducerClosed):
            self.is_there.clear()

    @property
    def client(self) -> Any:
        async def fetch_all_metadata() -> Any:
            return SimpleNamespace(partitions_for_topic=lambda _: {0})

        return SimpleNamespace(fetch_all_metadata=fetch_all_metadata)

    def create_batch(self) -> Batch:
        return Batch(self._see)

    def _see(self, value: bytes) -> None:
        if self.callers[value].done():
            self.faults.append("what nobody waits for any more went into a batch")

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> Any:
        shard = Shard(topic, partition)
        # aiokafka has one batch of a partition under way: what it was still trying comes first, or never.
        for old in [flight for flight in self.flights if flight.shard == shard]:
            if not old.asked.done():
                self.faults.append("a batch left while another one of its partition was under way")
            self._end(old)
        confirmed = asyncio.get_running_loop().create_future()
        flight = Flight(shard, list(batch.values), confirmed, asyncio.shield(confirmed))
        self.flights.append(flight)
        return flight.asked

    def _end(self, flight: Flight) -> None:
        self.flights.remove(flight)
        if flight.writes_late:
            self.log[flight.shard] += flight.values

    def settle(self, flight: Flight) -> None:
        """What a broker says at once: all is written, or the batch is too large."""
        if flight.confirmed.done():
            return
        if any(value.startswith(LARGE) for value in flight.values):
            self.fail(flight, errors.MessageSizeTooLargeError(), writes_late=False)
            return
        first = len(self.log[flight.shard])
        self.log[flight.shard] += flight.values
        self.flights.remove(flight)
        flight.confirmed.set_result(SimpleNamespace(offset=first))

    def fail(self, flight: Flight, error: BaseException, *, writes_late: bool) -> None:
        if flight.confirmed.done():
            return
        flight.writes_late = writes_late
        flight.confirmed.set_exception(error)
        flight.confirmed.exception()


class Course:
    """One course of events, and what was promised on it."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.kafka.is_there.set()
        self.writer = KafkaWriter(
            self.kafka,  # type: ignore[arg-type]
            limit_seconds=LIMIT_SECONDS,
            flight_seconds=FLIGHT_SECONDS,
            gather_seconds=0.002,
            backlog=Backlog(MOST_WAITING, MOST_WAITING * (VALUE_BYTES + RECORD_OVERHEAD)),
        )
        self.calls: list[tuple[list[NewRecord], asyncio.Task[Answers]]] = []
        self._written = 0

    def publish(self, partitions: Sequence[tuple[int, bytes]]) -> None:
        records = []
        for partition, kind in partitions:
            self._written += 1
            value = kind + b"%07d" % self._written
            records.append(NewRecord(Shard("t", partition), None, value))
        call = asyncio.create_task(self.writer.write(records))
        self.calls.append((records, call))
        self.kafka.callers.update((record.value, call) for record in records)

    def confirm(self, number: int) -> None:
        self._flight(number, self.kafka.settle)

    def refuse(self, number: int, error: BaseException, *, writes_late: bool) -> None:
        self._flight(number, lambda flight: self.kafka.fail(flight, error, writes_late=writes_late))

    def _flight(self, number: int, do: Callable[[Flight], None]) -> None:
        if self.kafka.flights:
            do(self.kafka.flights[number % len(self.kafka.flights)])

    def cancel(self, number: int) -> None:
        if self.calls:
            self.calls[number % len(self.calls)][1].cancel()

    async def wait(self, turns: int, seconds: float = 0.0) -> None:
        if seconds:
            await asyncio.sleep(seconds)
        for _ in range(turns):
            await asyncio.sleep(0)

    async def until_idle(self) -> None:
        """Kafka is there and says at once what it makes of each batch."""
        for _ in range(10 * len(self.calls) + 10):
            self.kafka.is_there.set()
            for flight in list(self.kafka.flights):
                self.kafka.settle(flight)
            await self.wait(TURNS, 0.01)
        assert all(call.done() for _, call in self.calls)

    async def has_all_its_room(self) -> None:
        """And no more than that."""
        for count, kind in ((MOST_WAITING + 1, Unconfirmed), (MOST_WAITING, Receipt)):
            self.publish([(0, b"x")] * count)
            await self.until_idle()
            _, call = self.calls[-1]
            assert {type(answer) for answer in call.result()} == {kind}

    async def close(self) -> None:
        await self.writer.close()
        await self.wait(TURNS)
        assert all(call.done() for _, call in self.calls)

    def kept_its_promises(self) -> None:
        assert self.kafka.faults == []
        for records, call in self.calls:
            if not call.cancelled():
                self._has_what_it_confirmed(records, call.result())
        for values in self.kafka.log.values():
            numbers = [int(value[1:]) for value in values]
            assert numbers == sorted(set(numbers)), "the log has a record twice or out of order"

    def _has_what_it_confirmed(self, records: Sequence[NewRecord], answers: Answers) -> None:
        assert len(records) == len(answers)
        lost: set[Shard] = set()
        for record, answer in zip(records, answers, strict=True):
            if isinstance(answer, Unconfirmed):
                lost.add(record.shard)
                continue
            assert record.shard not in lost, "confirmed after one of its partition that was not"
            assert self.kafka.log[record.shard][answer.offset] == record.value


_kinds = st.sampled_from([b"x", b"x", b"x", b"x", LARGE, FORMLESS])
_records = st.lists(st.tuples(st.integers(0, 2), _kinds), min_size=1, max_size=11)
_numbers = st.integers(0, 5)
_errors = st.sampled_from(
    [errors.NotEnoughReplicasError(), errors.RequestTimedOutError(), errors.ProducerClosed()]
)
_event = st.one_of(
    st.tuples(st.just("publish"), _records),
    st.tuples(st.just("publish"), _records),
    st.tuples(st.just("confirm"), _numbers),
    st.tuples(st.just("confirm"), _numbers),
    st.tuples(st.just("refuse"), st.tuples(_numbers, _errors, st.booleans())),
    st.tuples(st.just("cancel"), _numbers),
    st.tuples(
        st.just("wait"), st.tuples(st.integers(1, TURNS), st.sampled_from([0.0, 0.01, 5.0, 9.0, 25.0]))
    ),
    st.tuples(st.just("come"), st.none()),
)


async def run(course: Course, events: Sequence[tuple[str, Any]]) -> None:
    for name, what in events:
        if name == "publish":
            course.publish(what)
        elif name == "confirm":
            course.confirm(what)
        elif name == "refuse":
            number, error, writes_late = what
            course.refuse(number, error, writes_late=writes_late)
        elif name == "cancel":
            course.cancel(what)
        elif name == "wait":
            await course.wait(*what)
        else:
            course.kafka.is_there.set()


async def lived(events: Sequence[tuple[str, Any]], end: Callable[[Course], Awaitable[None]]) -> None:
    course = Course()
    await run(course, events)
    await end(course)
    course.kept_its_promises()
    await course.writer.close()


async def calm(course: Course) -> None:
    await course.until_idle()
    await course.has_all_its_room()


@given(st.lists(_event, max_size=25))
@settings(max_examples=300, deadline=None, database=None)
def test_whatever_happens_every_call_ends_and_the_log_has_what_was_confirmed(events: Any) -> None:
    run_in_virtual_time(lived(events, calm))


@given(st.lists(_event, max_size=15))
@settings(max_examples=300, deadline=None, database=None)
def test_whenever_it_is_closed_every_call_ends(events: Any) -> None:
    run_in_virtual_time(lived(events, Course.close))
