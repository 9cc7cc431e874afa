"""One random history: messages, a provider and a log with moods, processes that come, drain, freeze and die.

Everything random comes from one seed and time is virtual, so a history that broke a promise runs again the
same way.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from random import Random
from types import MappingProxyType
from typing import ClassVar

from adapters.memory import MemoryPublisher
from adapters.memory_orders import MemoryDiscardOrders
from adapters.message_json import decode_record
from application.counts import DeliveryCounts
from application.delivery_engine import DeliveryEngine
from application.engine_options import EngineOptions
from application.shards import HoldingLimits
from domain.dead_letter import FOR_GROUP, REPLAY, REQUEST_ID, DeadLetter
from domain.discard import CLOCKS_DIFFER_SECONDS, Discard
from domain.errors import HeraldError, LogUnavailable
from domain.ledger import Deferral, LedgerRecord
from domain.log import Headers, NewRecord, Position, Receipt, Record, Shard
from domain.retry import RetryPolicy
from domain.topic import Topic, TopicPlan
from tests.saboteurs import HERALD, Saboteur
from tests.simulation.process import (
    EndedAtOnce,
    Process,
    ProcessChannel,
    ProcessClock,
    ProcessDeadLetters,
    ProcessDiscardOrders,
    ProcessLedger,
    ProcessLog,
    Trouble,
)
from tests.simulation.provider import DOWN_FOR_ALL, MOODS, STEADY, Provider
from tests.simulation.virtual_time import EPOCH, VirtualClock, run_in_virtual_time
from tests.simulation.witness import GROUP, Witness, WitnessedBroker

TOPIC = "transactions"
PARTITIONS = 2
PROCESSES = 3
WEEK_MS = 168 * 3_600_000
KEY_OF_PARTITION = MappingProxyType({0: ("a", "b", None), 1: ("c", "d", None)})
STEPS = 14
FULL_WAITS = (60.0, 600.0, 3600.0)
LONGEST = 6 * 3600.0


class History:
    """Builds up a random past, then mends everything and lets Herald finish."""

    witness_type: ClassVar[type[Witness]] = Witness

    def __init__(self, seed: int, herald: Saboteur = HERALD) -> None:
        self.seed = seed
        self.herald = herald
        self.random = random = Random(seed)
        self.clock = VirtualClock()
        plan = TopicPlan(name=TOPIC, partitions=PARTITIONS, replication_factor=1, retention_ms=WEEK_MS)
        self.broker = WitnessedBroker(self.clock, [plan], revoke_seconds=random.choice((3.0, 30.0)))
        self.policy = RetryPolicy(
            max_attempts=random.choice((2, 4, 8)),
            max_seconds=random.choice((5.0, 30.0, 3600.0)),
            max_uncertain=random.choice((0, 1, 3)),
            uncertain_waits=FULL_WAITS if random.random() < 0.2 else (5.0, 20.0, 60.0),
            defer_after_seconds=random.choice((4.0, 60.0)),
        )
        self.options = EngineOptions(
            concurrency=random.choice((1, 2, 4, 8)),
            drain_seconds=random.choice((0.0, 2.0, 5.0)),
            record_seconds=random.choice((0.5, 4.0)),
            commit_seconds=random.choice((1.0, 5.0)),
            poll_seconds=5.0,
            measure_seconds=15.0,
            orders_seconds=15.0,
            tick_seconds=4.0,
            frozen_seconds=10.0,
            fetch_limit=random.choice((1, 7, 100)),
            dedupe_messages=random.choice((2, 8, 1000)),
            most_per_second=2.0 if seed % 5 == 3 else 0.0,  # not drawn: all other seeds stay what they are
            limits=HoldingLimits(
                records=random.choice((6, 30, 1000)),
                run_ahead=random.choice((2, 5, 1000)),
                deferred=random.choice((2, 3, 6, 1000)),
            ),
        )
        self.provider = Provider(seed, self.clock.now)
        self.witness = self.broker.witness = self.witness_type(
            broker=self.broker,
            provider=self.provider,
            policy=self.policy,
            concurrency=self.options.concurrency,
            window=self.options.dedupe_messages,
            random=random,
        )
        self.witness.has_orders = seed % 4 == 1  # not drawn: all other seeds stay what they are
        self.trouble = Trouble(random)
        self.publisher = herald.publisher(MemoryPublisher(self.broker))
        self.counts: list[DeliveryCounts] = []
        self.processes: list[Process] = []
        self.all_processes: list[Process] = []
        self.unconfirmed: list[NewRecord] = []
        self.confirmed: list[tuple[Shard, int, bytes]] = []
        self.ids = 0
        self.stuck: list[str] = []
        self.held_back: list[str] = []
        self.idle: list[str] = []
        self.undiscarded: list[str] = []
        self.anew: list[str] = []
        self.leftovers: list[object] = []
        self.has_forgotten = False
        self.firsts: dict[Shard, int] = {}  # what retention left, in the end

    def play(self) -> "History":
        run_in_virtual_time(self.run(), self.look_for_idle)
        return self

    def look_for_idle(self) -> None:
        """Nothing happens any more until time passes: nobody who might send something must sleep."""
        for process in self.processes:
            if process.engine is not None and process.is_awake and _is_idle(process.engine):
                self.idle.append(f"{process.name} at {asyncio.get_running_loop().time():.3f}")

    async def run(self) -> None:
        await self.start()
        for _ in range(STEPS):
            await self.happen(self.random.choice(self.adversities))
            await asyncio.sleep(self.random.choice((0.0, 0.3, 2.0, 20.0, 20.0, 120.0)))
        await self.happen(self.mend)
        if not self.stuck and self.random.random() < 0.15:
            await self.happen(self.make_topics_anew)
        for process in list(self.processes):
            await self.end(process)

    async def happen(self, what: Callable[[], Awaitable[None]]) -> None:
        await what()

    @property
    def adversities(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return (
            *(self.post,) * 4,
            *(self.mood,) * 2,
            *(self.start,) * 2,
            self.kill,
            self.kill_in_the_middle,
            self.kill_in_the_middle,
            self.stop,
            self.lose,
            self.rebalance,
            self.freeze,
            self.log_trouble,
            self.log_trouble,
            self.outage_of_the_log,
            self.replay,
            self.let_time_delete,
            self.forget_positions,
            self.one_customer_fails_for_long,
            *((self.discard, self.discard, self.stop_a_campaign) if self.witness.has_orders else ()),
        )

    # Messages ---------------------------------------------------------------------------------

    async def post(self) -> None:
        for _ in range(self.random.randrange(1, 10)):
            partition = self.random.randrange(PARTITIONS)
            key = self.random.choice(KEY_OF_PARTITION[partition])
            await self.publish(self._fresh_or_known(partition, key))

    def _fresh_or_known(self, partition: int, key: str | None) -> NewRecord:
        draw = self.random.random()
        known = [value for shard, _, value in self.confirmed if shard.partition == partition]
        if draw < 0.12 and known:
            value = self.random.choice(known[-8:])
            return self._record(partition, self._key_of(value, key), value)
        if draw < 0.17 and known:
            fields = json.loads(self.random.choice(known[-8:]))
            fields["message_body"] = f"other {self.random.randrange(3)}"
            return self._record(partition, key, json.dumps(fields).encode())
        if draw < 0.19:
            return self._record(partition, key, b"no json")
        return self._record(partition, key, json.dumps(self._fields(key)).encode())

    def _fields(self, key: str | None) -> dict[str, str]:
        self.ids += 1
        fields = {"request_id": f"m{self.ids}", "message_body": f"body {self.ids}", "email": "a@example.test"}
        if key is not None:
            fields["key"] = key
        draw = self.random.random()
        if draw < 0.05:
            fields["email"] = "wrong"
        elif draw < 0.1:
            del fields["email"]
            fields["phone"] = "+15005550001"
        elif draw < 0.15:
            until = EPOCH + asyncio.get_running_loop().time() + self.random.choice((1.0, 30.0, 600.0))
            fields["expires_at"] = _rfc3339(until)
        return fields

    def _key_of(self, value: bytes, otherwise: str | None) -> str | None:
        """A client sends the same again with the same key; now and then one forgets it."""
        key: str | None = json.loads(value).get("key")
        return key if self.random.random() < 0.8 else otherwise if otherwise is None else key

    def _record(self, partition: int, key: str | None, value: bytes, headers: Headers = ()) -> NewRecord:
        return NewRecord(Shard(TOPIC, partition), key.encode() if key else None, value, headers)

    async def publish(self, record: NewRecord) -> None:
        """As a client does: what was not confirmed is sent again unchanged, later."""
        if self.random.random() < 0.05:
            self.broker.leave_gap(record.shard)
        self.broker.loses_answers = self.trouble.draws(self.trouble.lost)
        (answer,) = await self.publisher.publish([record])
        self.broker.loses_answers = False
        if isinstance(answer, Receipt):
            if record.value != b"no json":
                self.confirmed.append((record.shard, answer.offset, record.value))
        else:
            self.unconfirmed.append(record)

    async def publish_unconfirmed(self) -> None:
        waiting, self.unconfirmed = self.unconfirmed, []
        for record in waiting:
            await self.publish(record)

    async def replay(self) -> None:
        """Puts some dead letters back: most of this group, some that are another's."""
        for letter in self.random.sample(self.witness.letters, min(3, len(self.witness.letters))):
            group = self.random.choice((GROUP, GROUP, "sms"))
            await self.put_back(letter, group)

    async def put_back(self, letter: DeadLetter, group: str) -> None:
        record = letter.record
        request_id = decode_record(record)
        name = request_id if isinstance(request_id, str) else request_id.request_id
        headers = ((FOR_GROUP, group.encode()), (REPLAY, b"1"), (REQUEST_ID, name.encode()))
        kept = tuple(pair for pair in record.headers if not pair[0].startswith("herald-"))
        if not self.broker.down:
            self.broker.append(NewRecord(record.shard, record.key, record.value or b"", (*kept, *headers)))

    # Processes --------------------------------------------------------------------------------

    async def start(self) -> None:
        if len(self.processes) >= PROCESSES:
            return
        process = Process(
            name=f"p{len(self.all_processes)}",
            witness=self.witness,
            trouble=self.trouble,
            random=self.random,
            frozen_seconds=self.options.frozen_seconds,
        )
        process.log = ProcessLog(self.broker, GROUP, [TOPIC], process, fences=self.herald.fences)
        process.engine = self._engine(process)
        self.processes.append(process)
        self.all_processes.append(process)
        self.broker.group(GROUP).join(process.log)
        process.task = asyncio.create_task(self._run(process))
        await self.clock.settle()

    def _engine(self, process: Process) -> DeliveryEngine:
        counts = DeliveryCounts()
        self.counts.append(counts)
        assert process.log is not None
        return self.herald.engine(
            log=process.log,
            ledger=self.herald.ledger(ProcessLedger(self.broker, GROUP, process)),
            orders=ProcessDiscardOrders(self.broker, process),
            channel=ProcessChannel(process, loses_cancels=0.2),
            decode=decode_record,
            dead_letters=ProcessDeadLetters(self.broker, process),
            clock=ProcessClock(process),
            policy=self.policy,
            jitter=self.random.random,
            topics={TOPIC: Topic(name=TOPIC, partitions=PARTITIONS)},
            options=self.options,
            counts=counts,
            end_at_once=process.end_at_once,
        )

    async def _run(self, process: Process) -> None:
        try:
            assert process.engine is not None
            await process.engine.run(process.stop)
        except EndedAtOnce:
            pass
        except Exception as error:  # noqa: BLE001 - whatever ends a process is a broken promise
            process.failure = error
            kind = "" if isinstance(error, HeraldError) else f"{type(error).__name__}: "
            self.stuck.append(f"{process.name} ended at {self.clock.monotonic():.3f}: {kind}{error}")
        finally:
            process.is_dead = True
            if process in self.processes:
                self.processes.remove(process)
            self._leave_later(process)

    def _leave_later(self, process: Process) -> None:
        """The group hears of a death only when its session is over; of an orderly end at once."""
        seconds = 0.0 if process.is_draining else self.random.choice((0.0, 1.0, 8.0))
        asyncio.get_running_loop().call_later(seconds, self._leave, process)

    def _leave(self, process: Process) -> None:
        if process.log is not None:
            process.log.lose()
            self.broker.group(GROUP).leave(process.log)

    def any_process(self) -> Process | None:
        return self.random.choice(self.processes) if self.processes else None

    async def kill(self) -> None:
        if process := self.any_process():
            process.kill()

    async def kill_in_the_middle(self) -> None:
        """At one of its next writes, commits, letters or sends: before it, or before the answer."""
        if process := self.any_process():
            process.fuse = self.random.randrange(1, 25)

    async def stop(self) -> None:
        if process := self.any_process():
            await self.end(process)

    async def end(self, process: Process) -> None:
        """What SIGTERM does. It must be through soon after its time."""
        process.is_draining = True
        process.stop.set()
        process.thaw()
        assert process.task is not None
        options = self.options
        # A slow log may take its time for each of the two things that are waited for.
        enough = options.drain_seconds + options.record_seconds + 40.0
        await asyncio.wait({process.task}, timeout=enough)
        if not process.task.done():
            self.stuck.append(f"{process.name} did not end its drain at {self.clock.monotonic():.3f}")
            process.kill()
            await asyncio.wait({process.task})

    async def lose(self) -> None:
        """Its session ends: at once, or while a commit is on its way."""
        if (process := self.any_process()) and process.log is not None:
            if self.random.random() < 0.5:
                process.loses_at_commit = True
            else:
                self.broker.lose(process.log)

    async def rebalance(self) -> None:
        """What a process does that joins and is gone again at once."""
        self.broker.group(GROUP).rebalance()

    async def freeze(self) -> None:
        """Short ones are slept over; after long ones its partitions are others'."""
        if (process := self.any_process()) is None:
            return
        process.freeze()
        seconds = self.random.choice((1.0, 5.0, 13.0, 40.0))
        await asyncio.sleep(seconds)
        if seconds > self.options.frozen_seconds and process in self.processes and process.log is not None:
            self.broker.lose(process.log)
        await asyncio.sleep(self.random.choice((0.0, 1.0)))
        process.thaw()

    # Orders -----------------------------------------------------------------------------------

    async def discard(self) -> None:
        """An operator orders it, for this group or another one; whether it was taken may not be known."""
        ago = self.random.choice((-CLOCKS_DIFFER_SECONDS, 0.0, 10.0, 300.0))
        await self.order(ago, self.random.choice((GROUP, GROUP, GROUP, "sms")))

    async def order(self, seconds_ago: float, group: str = GROUP) -> Discard:
        now = self.clock.now()
        order = Discard(
            topic=TOPIC,
            group=group,
            before=now - seconds_ago,
            upto={shard.partition: self.broker.bounds(shard).end for shard in self.broker.shards([TOPIC])},
            at=now,
            by="an operator",
        )
        if group == GROUP:
            self.witness.orders.append(order)
        self.broker.loses_answers = self.trouble.draws(self.trouble.lost)
        with contextlib.suppress(LogUnavailable):
            await MemoryDiscardOrders(self.broker).give(order)
        self.broker.loses_answers = False
        return order

    async def stop_a_campaign(self) -> None:
        """While nothing can be sent and all else works: all of it must end all the same."""
        await self.mend_all()
        self.provider.mood(DOWN_FOR_ALL, hangs=False)
        self.provider.asks_all_to_wait = wish = 240.0
        for _ in range(4):
            await self.post()
        await self.start()
        await asyncio.sleep(60.0)
        order = await self.order(-CLOCKS_DIFFER_SECONDS)
        await asyncio.sleep(120.0)
        left = self.witness.unfinished_of(order)
        if left and self.processes:
            places = [f"{entry.shard.partition}-{entry.offset}" for entry in left]
            self.undiscarded.append(f"{', '.join(places)} at {self.clock.monotonic():.3f}")
        await self.mend_all()
        await asyncio.sleep(wish)

    # Moods ------------------------------------------------------------------------------------

    async def mood(self) -> None:
        """How the provider answers from now on, and whether it answers at all."""
        self.provider.failing = frozenset(
            self.random.sample(("a", "b", "c", "d"), self.random.choice((0, 1, 2)))
        )
        self.provider.mood(self.random.choice(MOODS), hangs=self.random.random() < 0.15)

    async def log_trouble(self) -> None:
        share = self.random.choice((0.0, 0.1, 0.5))
        self.trouble.refused = self.random.choice((0.0, share))
        self.trouble.lost = self.random.choice((0.0, share))
        self.trouble.slow = self.random.choice((0.0, share))
        refused = self.random.choice(((), (), ("write",), ("put",), ("put",), ("commit",), ("keep",)))
        self.trouble.refuses = frozenset(refused)

    async def outage_of_the_log(self) -> None:
        self.broker.down = not self.broker.down

    async def let_time_delete(self) -> None:
        """Retention overtakes the group, or compaction goes over what it has put off."""
        shard = Shard(TOPIC, self.random.randrange(PARTITIONS))
        if self.random.random() < 0.5:
            for deferrals in self.broker.deferrals.values():
                deferrals.compact()
            return
        bounds = self.broker.bounds(shard)
        if bounds.end > bounds.first:
            self.broker.forget(shard, self.random.randrange(bounds.first, bounds.end))

    async def forget_positions(self) -> None:
        """Kafka forgets them some days after the last member left; or someone sets them back by hand."""
        if self.random.random() < 0.5:
            for process in list(self.processes):
                process.kill()
            await asyncio.sleep(10.0)
        if self.processes:
            return
        if self.random.random() < 0.4:
            for place, position in self.broker.positions.items():
                back = self.random.randrange(position.offset + 1)
                self.broker.positions[place] = Position(back)
        else:
            self.broker.positions.clear()
            self.has_forgotten = True

    async def one_customer_fails_for_long(self) -> None:
        """All else works: what is put off must not hold the position, unless that is full."""
        await self.mend_all()
        partition, key = self.random.choice(((0, "a"), (1, "c")))
        self.provider.failing, self.provider.asks_to_wait = frozenset(key), 200.0
        for _ in range(3):
            await self.publish(self._record(partition, key, json.dumps(self._fields(key)).encode()))
        await self.post()
        await self.start()
        await asyncio.sleep(150.0)
        before = {shard: self.committed(shard) for shard in self.broker.shards([TOPIC])}
        await asyncio.sleep(250.0)
        for shard, position in before.items():
            stands_still = position == self.committed(shard) < self.end_of(shard)
            if stands_still and self.processes and not self.may_stand_still:
                self.held_back.append(f"{shard.partition}-{position} at {self.clock.monotonic():.3f}")

    @property
    def may_stand_still(self) -> bool:
        """Whether as much may be put off as is allowed: room is looked for with the next retry only."""
        return self.options.limits.deferred < 1000

    # The end ----------------------------------------------------------------------------------

    async def mend_all(self) -> None:
        self.provider.failing, self.provider.asks_to_wait = frozenset(), 0.0
        self.provider.asks_all_to_wait = 0.0
        self.provider.mood(STEADY, hangs=False)
        self.broker.down = False
        self.trouble.end()
        for process in self.processes:
            process.thaw()

    async def mend(self) -> None:
        await self.mend_all()
        await self.publish_unconfirmed()
        if not self.processes:
            await self.start()
        await self.until_all_is_finished()
        if not self.stuck:
            await self.begin_once_more()
        self.firsts = {shard: self.broker.bounds(shard).first for shard in self.broker.shards([TOPIC])}
        self.leftovers = [*self.not_committed(), *self.put_off()]

    async def until_all_is_finished(self) -> None:
        """The commit alone tells nothing: it passes what is put off."""
        end = self.clock.monotonic() + LONGEST
        while self.clock.monotonic() < end and not self.stuck:
            await asyncio.sleep(20.0)
            if not self.processes:
                await self.start()
            if not self.not_committed() and not self.put_off():
                return

    async def begin_once_more(self) -> None:
        """After an orderly end and a new start nothing is sent again, also if a client sends it again."""
        for process in list(self.processes):
            await self.end(process)
        await self.start()
        await asyncio.sleep(40.0)
        for shard, _, value in self.confirmed[-3:]:
            await self.publish(self._record(shard.partition, json.loads(value).get("key"), value))
        await self.until_all_is_finished()

    def not_committed(self) -> list[int]:
        shards = self.broker.shards([TOPIC])
        return [shard.partition for shard in shards if self.committed(shard) < self.end_of(shard)]

    def end_of(self, shard: Shard) -> int:
        """Behind the last record; a gap after that is never read."""
        return max(self.witness.entries[shard], default=-1) + 1

    def committed(self, shard: Shard) -> int:
        position = self.broker.positions.get((GROUP, shard))
        return position.offset if position is not None else 0

    def put_off(self) -> list[tuple[int, int]]:
        """Partition and offset of what is still kept apart."""
        return [(shard.partition, offset) for shard, kept in self.witness.deferred.items() for offset in kept]

    async def make_topics_anew(self) -> None:
        """An operator does: what is noted of the old one must not be taken for the new one."""
        looks_the_same = self.random.random() < 0.5
        self.witness.is_blind = True  # it knows the old topic
        if looks_the_same:
            await self.leave_ends_above_the_commit()
        for process in list(self.processes):
            process.kill()
        await asyncio.sleep(10.0)
        newest = {
            shard: note
            for (_, shard), notes in self.broker.ledgers.items()
            for note in notes.notes[-1:]
            if isinstance(note, LedgerRecord)
        }
        begins = {shard: self.committed(shard) for shard in newest}
        values = {
            shard: self.broker.read(shard, note.offset, 1)
            for shard, note in newest.items()
            if self.broker.has(shard, note.offset)
        }
        self.broker.make_anew(TOPIC)
        tries = len(self.provider.tries)
        expected = self._fill_anew(newest, values if looks_the_same else {}, begins)
        await self.start()
        await asyncio.sleep(60.0)
        self._look_at_anew(set(newest) - set(values if looks_the_same else {}), tries, expected)

    async def leave_ends_above_the_commit(self) -> None:
        """The first of some messages fails for now, and the later ones end."""
        self.provider.failing = frozenset(("a", "c"))
        for partition, key in ((0, "a"), (1, "c")):
            for its_key in (key, None, None):
                fields = {**self._fields(its_key), "email": "a@example.test"}
                self.broker.append(self._record(partition, its_key, json.dumps(fields).encode()))
        await asyncio.sleep(3.0)

    def _fill_anew(
        self,
        newest: Mapping[Shard, LedgerRecord],
        values: Mapping[Shard, Sequence[Record]],
        begins: Mapping[Shard, int],
    ) -> set[str]:
        """New messages; where a shard is to look like the old one, its newest note fits again."""
        expected: set[str] = set()
        for shard in newest:
            same = values.get(shard, ())
            known = max(same[0].offset, newest[shard].low, begins[shard]) if same else 0
            length = known + 2 if same else self.random.choice((0, 1, 3, 40))
            put_off = {
                note.record.offset
                for note in self.broker.deferrals[GROUP, shard].notes
                if isinstance(note, Deferral)
            }
            for offset in range(length):
                self.ids += 1
                name = f"n{self.ids}"
                fields = {"request_id": name, "message_body": "anew", "email": "a@example.test"}
                value = json.dumps(fields).encode()
                if same and offset == same[0].offset:
                    self.broker.append(self._record(shard.partition, None, same[0].value or b""))
                    continue
                self.broker.append(self._record(shard.partition, None, value))
                if same and offset >= begins[shard] and offset not in put_off:
                    expected.add(name)
        return expected

    def _look_at_anew(self, stopped: AbstractSet[Shard], tries: int, expected: AbstractSet[str]) -> None:
        new = {attempt.content[0] for attempt in self.provider.tries[tries:] if attempt.content[1] == "anew"}
        self.anew += [f"does not send {name}" for name in sorted(expected - new)]
        self.anew += [f"sends {name}" for name in sorted(new - expected)]
        for process in self.processes:
            assert process.engine is not None
            self.anew += [
                f"reads {state.shard}"
                for state in process.engine.shards
                if state.shard in stopped and not state.trouble
            ]


def _is_idle(engine: DeliveryEngine) -> bool:
    """Whether something could be sent, or tried as a probe, and a worker sleeps all the same."""
    dispatcher, breaker = engine._dispatcher, engine.breaker
    may_probe = breaker.may_probe(asyncio.get_running_loop().time()) and not dispatcher._is_behind()
    is_unasked = may_probe and not dispatcher.probe_wanted and bool(dispatcher._parked)
    is_forgotten = breaker.probing and not dispatcher.in_flight
    return dispatcher.could_start() or is_unasked or is_forgotten


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
