"""One random history: messages, failing channel, failing log, processes that come, drain and are killed.

Everything random comes from one seed, and time is fake, so a history that broke a promise can be run again.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from random import Random

from application.delivery_engine import DeliveryEngine
from application.engine_options import EngineOptions
from application.shards import HoldingLimits
from domain.ledger import Deferral
from domain.log import Shard
from domain.message import Message
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain
from domain.retry import RetryPolicy
from tests.engine_parts import TOPIC, Running, World
from tests.fakes import FakeClock, ScriptedChannel

PARTITIONS = 3
KEYS = ("a", "b", "c", "d", None)
STEPS = 25


class SlowChannel(ScriptedChannel):
    """Takes its time for some messages; now and then it loses a cancel, as a library may."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.clock = FakeClock()

    async def deliver(self, message: Message, *, probe: bool) -> Outcome:
        try:
            await self.clock.sleep(self.random.choice([0.0, 0.0, 0.2, 4.0]))
            return await super().deliver(message, probe=probe)
        except asyncio.CancelledError:
            if self.random.random() < 0.2:
                return Uncertain("lost")
            raise


class History:
    """Builds up a random past, then mends everything and lets Herald finish."""

    def __init__(self, seed: int, engine_type: type[DeliveryEngine] = DeliveryEngine) -> None:
        self.random = Random(seed)
        concurrency = self.random.choice([1, 2, 4, 8])
        limits = HoldingLimits(
            records=self.random.choice([9, 30, 1000]), run_ahead=self.random.choice([5, 1000])
        )
        channel = SlowChannel(self.random)
        self.world = World(
            channel=channel,
            partitions=PARTITIONS,
            engine_type=engine_type,
            policy=RetryPolicy(max_attempts=4, max_seconds=30.0),
            options=EngineOptions(
                concurrency=concurrency,
                drain_seconds=self.random.choice([0.0, 5.0]),
                record_seconds=0.5,
                fetch_limit=self.random.choice([1, 7, 100]),
                limits=limits,
            ),
        )
        self.weights = (10, 0, 0, 0, 0)
        self.world.channel.answer = self.answer
        channel.clock = self.world.clock
        self.stuck_stops = 0
        self.posted: list[tuple[str, str | None, int]] = []
        self.processes: list[tuple[AsyncExitStack, Running]] = []

    @property
    def adversities(self) -> Sequence[Callable[[], Awaitable[None]]]:
        twice = (self.post, self.post, self.mood)
        return (*twice, self.start, self.kill, self.stop, self.log_moods, self.lose, self.rebalance)

    def answer(self, message: Message) -> Outcome:
        outcomes: list[Outcome] = [
            Delivered(),
            TryAgain("451"),
            Refused("550"),
            ChannelDown("421"),
            Uncertain("lost"),
        ]
        return self.random.choices(outcomes, self.weights)[0]

    async def run(self) -> None:
        for _ in range(STEPS):
            await self.random.choice(self.adversities)()
            await self.world.clock.advance(self.random.choice([0.0, 0.3, 2.0, 20.0, 300.0]))
        await self.mend()

    async def post(self) -> None:
        if self.world.broker.down:
            return
        for _ in range(self.random.randrange(1, 12)):
            key = self.random.choice(KEYS)
            partition = hash_of(key) if key else self.random.randrange(PARTITIONS)
            request_id = f"m{len(self.posted)}"
            self.posted.append((request_id, key, partition))
            email = self.random.choice(["a@example.test"] * 9 + ["wrong"])
            await self.world.post(request_id, key=key, partition=partition, email=email)

    async def start(self) -> None:
        if len(self.processes) < PARTITIONS:
            stack = AsyncExitStack()
            running = await stack.enter_async_context(self.world.running())
            self.processes.append((stack, running))

    async def kill(self) -> None:
        if self.processes:
            stack, _ = self.processes.pop(self.random.randrange(len(self.processes)))
            await stack.aclose()

    async def stop(self) -> None:
        if self.processes:
            stack, running = self.processes.pop(self.random.randrange(len(self.processes)))
            seconds = self.random.choice([0.0, 6.0])
            await running.drain(seconds)
            options = self.world.options
            enough = options.drain_seconds + options.record_seconds
            self.stuck_stops += seconds > enough and not running.task.done()
            await stack.aclose()

    async def lose(self) -> None:
        if self.processes:
            self.world.broker.lose(self.random.choice(self.processes)[1].log)

    async def rebalance(self) -> None:
        """What a process does that joins and is gone again at once."""
        self.world.broker.group("email").rebalance()

    async def mood(self) -> None:
        """How the provider answers from now on, and whether it answers at all."""
        self.weights = self.random.choice(
            [
                (10, 0, 0, 0, 0),
                (5, 3, 1, 1, 1),
                (0, 0, 0, 1, 0),
                (0, 0, 1, 0, 0),
                (0, 1, 0, 0, 0),
                (1, 0, 0, 0, 1),
            ]
        )
        channel = self.world.channel
        if channel.hold is not None:
            channel.hold.set()
        channel.hold = asyncio.Event() if self.random.random() < 0.2 else None

    async def log_moods(self) -> None:
        broker = self.world.broker
        broker.down, broker.loses_answers = self.random.choice([(True, False), (False, True), (False, False)])

        self.world.dead_letters.away = self.random.random() < 0.3

    async def mend(self) -> None:
        self.weights = (10, 0, 0, 0, 0)
        if self.world.channel.hold is not None:
            self.world.channel.hold.set()
            self.world.channel.hold = None
        self.world.broker.down = self.world.broker.loses_answers = self.world.dead_letters.away = False
        if not self.processes:
            await self.start()
        await self.until_all_is_finished()
        for stack, _ in self.processes:
            await stack.aclose()

    async def until_all_is_finished(self) -> None:
        """Lost answers are asked again after an hour at the latest, three times at most.

        The commit alone tells nothing: it passes what is put off.
        """
        for _ in range(4 * 60):
            await self.world.clock.advance(60.0)
            if not self.not_committed() and not self.put_off():
                return

    # What must hold ---------------------------------------------------------------------------

    def lost(self) -> set[str]:
        return {request_id for request_id, _, _ in self.posted} - set(self.world.channel.sent) - self.buried()

    def buried(self) -> set[str]:
        return {json.loads(letter.record.value or b"")["request_id"] for letter in self.world.broker.letters}

    def out_of_order(self) -> list[tuple[str, ...]]:
        """For each key whose first deliveries are not in the log's order: that order.

        What became a dead letter ended there; that a crash sends it again is the ledger's to prevent.
        """
        buried = self.buried()
        firsts = [
            request_id for request_id in dict.fromkeys(self.world.channel.sent) if request_id not in buried
        ]
        wrong = []
        for key in KEYS[:-1]:
            order = [request_id for request_id, its_key, _ in self.posted if its_key == key]
            seen = [request_id for request_id in firsts if request_id in set(order)]
            if seen != [request_id for request_id in order if request_id in set(seen)]:
                wrong.append(tuple(seen))
        return wrong

    def put_off(self) -> set[tuple[int, int]]:
        """Partition and offset of what is still kept apart."""
        kept: dict[tuple[int, int], bool] = {}
        for (_, shard), deferrals in self.world.broker.deferrals.items():
            for note in deferrals.notes:
                is_put = isinstance(note, Deferral)
                kept[shard.partition, note.record.offset if isinstance(note, Deferral) else note.offset] = (
                    is_put
                )
        return {place for place, is_put in kept.items() if is_put}

    def not_committed(self) -> list[int]:
        ends = [self.world.broker.bounds(Shard(TOPIC, partition)).end for partition in range(PARTITIONS)]
        return [p for p in range(PARTITIONS) if ends[p] and self.world.committed(p) != ends[p]]


def hash_of(key: str) -> int:
    return ord(key) % PARTITIONS
