"""Heralds with one rule broken each, for the simulation and, as real processes, for the drill.

`python -P -m tests.saboteurs commits-early consumer email --config …` is the program `herald` whose
consumers have that one rule broken. What follows the name is the program's own command line.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dependency_injector import providers

from application.bookkeeper import Bookkeeper
from application.delivery import Delivery
from application.delivery_engine import DeliveryEngine
from application.dispatcher import Dispatcher
from application.intake import Intake, Read, Taken
from application.lanes import Lanes
from application.reception import Reception
from application.shard_cuts import ShardCuts
from application.shard_ledger import ShardLedger
from application.shard_loader import Begin, ShardLoader
from application.shards import Shards, ShardState
from application.tick import Tick
from application.verdict import Dead, Judge, Later, Verdict
from application.where_to_begin import BeginAt, StopShard
from containers import Container
from domain.discard import Cut
from domain.ledger import Extent, LedgerRecord, Note, Places, State, Tombstone
from domain.log import Bounds, NewRecord, Position, Receipt, Record, Shard, Unconfirmed
from domain.message import Message
from domain.outcome import ChannelDown, DeadLetterReason
from domain.ports import DeliveryLedger, MessagePublisher
from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.programs import Programs
from entrypoints.rare_collections import end_with


def _swap(part: object, kind: type) -> None:
    """Makes one part of a built engine a broken one; the kinds add no state, so that fits."""
    object.__setattr__(part, "__class__", kind)


class Broken(DeliveryEngine):
    """An engine with some parts swapped: name of the attribute, and what it is instead."""

    parts: Mapping[str, type] = MappingProxyType({})

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        for path, kind in self.parts.items():
            part: object = self
            for name in path.split("."):
                part = getattr(part, name)
            _swap(part, kind)


def _with(**parts: type) -> type[DeliveryEngine]:
    """The engine with these parts; three underscores stand for a dot before a private name, two for one."""
    paths = {name.replace("___", "._").replace("__", "."): kind for name, kind in parts.items()}
    return type("Sabotaged", (Broken,), {"parts": MappingProxyType(paths)})


# What may be committed ------------------------------------------------------------------------


class _EarlyState(ShardState):
    __slots__ = ()

    @property
    def position(self) -> Position:
        return Position(self.offsets.next, super().position.metadata)


class _EarlyShards(Shards):
    def add(self, shard: Shard) -> ShardState:
        state = super().add(shard)
        _swap(state, _EarlyState)
        return state


class _EndsBeforeTheNote(Bookkeeper):
    """The position may pass what is answered, before the ledger has it."""

    def end(self, delivery: Delivery, state: State, reason: str = "", provider_id: str = "") -> None:
        super().end(delivery, state, reason, provider_id)
        delivery.shard.finish(delivery.offset)


class _ForgetsRevokedWork(DeliveryEngine):
    """Treats what is taken away as finished."""

    def _let_go(self, shards: AbstractSet[Shard]) -> None:
        for state in self.shards:
            if state.shard in shards and state.begun:
                state.begin(state.offsets.next, Position(-1))
        super()._let_go(shards)


class _NoteLedger(ShardLedger):
    """`Shards` makes the ledgers: this is how a broken kind of them comes in."""

    __slots__ = ()


def _shards_with(kind: type[ShardLedger]) -> type[DeliveryEngine]:
    class Made(Shards):
        def forget(self, shard: Shard) -> ShardLedger:
            ledger = super().forget(shard)
            _swap(ledger, kind)
            return ledger

    return _with(shards=Made)


class _ForgetsTheWindow(_NoteLedger):
    """Its note with the commit leaves out what was sent lately."""

    __slots__ = ()

    def needed_from(self, commit: int) -> Places:
        return Places(self.next.ledger, super().needed_from(commit).deferred)


class _ReadsDeferralsTooLate(_NoteLedger):
    """Its note with the commit leaves out what is put off."""

    __slots__ = ()

    def needed_from(self, commit: int) -> Places:
        return Places(super().needed_from(commit).ledger, self.next.deferred)


class _SuppressesDeadIds(_NoteLedger):
    __slots__ = ()

    def _fold_record(self, position: int, record: LedgerRecord) -> None:
        super()._fold_record(position, record)
        if record.state is State.DEAD:
            self.window.add(record.request_id, record.digest, position)


class _SkipsOnOffsetAlone(_NoteLedger):
    __slots__ = ()

    def has_ended(self, offset: int, request_id: str) -> bool:
        return offset in self._ended


# Order ----------------------------------------------------------------------------------------


class _Laneless(Intake):
    __slots__ = ()

    def _checked(self, record: Record, message: Message, state: ShardState, size: int) -> Read:
        taken = Intake._checked(self, record, message, state, size)
        if isinstance(taken, Delivery):
            taken.lane = None
        return taken


class _LetsOthersPass(Lanes):
    """The next of a key goes while the one before it waits for its retry."""

    def retry(self, delivery: Delivery, due: float) -> None:
        super().retry(delivery, due)
        lane = self._lane_of(delivery)
        if lane is not None and len(lane) > 1 and lane[0] is delivery:
            del lane[0]
            self._offer(lane[0])


class _IgnoresTheReader(Reception):
    """What is put off starts at once, also above what is read."""

    def release(self, state: ShardState, offset: int) -> None:
        super().release(state, max(offset, 1 << 62))


# Deferral -------------------------------------------------------------------------------------


class _DefersAlone(Bookkeeper):
    """Keeps one apart and not those behind it."""

    def defer(self, delivery: Delivery) -> None:
        self._put(delivery)

    def follow(self, delivery: Delivery) -> None:
        pass


class _TombstoneFirst(Bookkeeper):
    def end(self, delivery: Delivery, state: State, reason: str = "", provider_id: str = "") -> None:
        if delivery.is_deferred:
            self.recorder.put(delivery.shard, Tombstone(delivery.offset))
        super().end(delivery, state, reason, provider_id)


class _NoTombstones(Bookkeeper):
    def drop_deferral(self, state: ShardState, offset: int) -> None:
        pass


class _SendsWhatEnded(Intake):
    """What is put off is sent though it ended: only its tombstone was missing."""

    __slots__ = ()

    def revive(self, deferral: Any, state: ShardState) -> Taken:
        read = self._read(deferral.record, state)
        if isinstance(read, Delivery):
            read.is_deferred = True
            self._go_on(read, deferral.attempts, deferral.uncertain, deferral.due)
        return read


# Tries ----------------------------------------------------------------------------------------


class _SpendsAttempts(Judge):
    """A channel that is down costs each message an attempt."""

    __slots__ = ()

    def _channel_down(
        self, delivery: Delivery, outcome: ChannelDown, now: float, *, was_open: bool
    ) -> Verdict:
        delivery.attempts += 1
        if self.policy.is_spent(delivery.attempts):
            return Dead(DeadLetterReason.TOO_MANY_ATTEMPTS, outcome.reason)
        return Judge._channel_down(self, delivery, outcome, now, was_open=was_open)


class _ForgetsTheWait(Judge):
    """A lost answer is asked again like any other failure."""

    __slots__ = ()

    def _uncertain(self, delivery: Delivery, reason: str, now: float) -> Verdict:
        verdict = Judge._uncertain(self, delivery, reason, now)
        delivery.uncertain_until = now
        return Later(now + 1.0, verdict.defer) if isinstance(verdict, Later) else verdict


class _AsksTooOften(Judge):
    """A lost answer is asked again without end."""

    __slots__ = ()

    def _uncertain(self, delivery: Delivery, reason: str, now: float) -> Verdict:
        verdict = Judge._uncertain(self, delivery, reason, now)
        return Later(now + self.policy.uncertain_wait(9)) if isinstance(verdict, Dead) else verdict


class _GivesUpEarly(Judge):
    """A first lost answer ends a message."""

    __slots__ = ()

    def _uncertain(self, delivery: Delivery, reason: str, now: float) -> Verdict:
        Judge._uncertain(self, delivery, reason, now)
        return Dead(DeadLetterReason.UNCERTAIN, reason)


class _ForgetsTries(Intake):
    """A restart gives each message all its tries again."""

    __slots__ = ()

    def _go_on(self, delivery: Delivery, attempts: int, uncertain: int, due: float) -> None:
        Intake._go_on(self, delivery, 0, 0, due)


# Ends -----------------------------------------------------------------------------------------


class _BuriesNothing(Dispatcher):
    """A dead letter is noted and not kept."""

    async def _bury(self, delivery: Delivery, dead: Dead) -> None:
        pass


class _NeverExpires(Dispatcher):
    def _is_expired(self, delivery: Delivery) -> bool:
        return False


class _DeliversReusedIds(Intake):
    """Other content under a known id is sent like any message."""

    __slots__ = ()

    def _known_digest(self, request_id: str, state: ShardState) -> int | None:
        return None


class _NotesWithoutBound(Dispatcher):
    """Sends on though what it sent is not on record."""

    def _is_behind(self) -> bool:
        return False


class _LosesAWake(Dispatcher):
    """Whoever sends wakes nobody, nor does what comes while one sends."""

    def wake(self) -> None:
        if not self.in_flight:
            super().wake()


class _StaysAwake(Dispatcher):
    """One that was woken is thought to look for ever."""

    async def _park(self) -> None:
        await super()._park()
        self._is_waking = True


class _SetsNoAlarm(Dispatcher):
    """What waits for its time is found by chance only."""

    def _set_alarm(self) -> None:
        pass


# Orders ---------------------------------------------------------------------------------------


class _BeginsWithoutOrders(ShardLoader):
    """Begins a shard before it knows what must not be sent any more."""

    async def load(self, state: ShardState) -> Begin | None:
        self._recall_orders = _learns_nothing
        return await super().load(state)


async def _learns_nothing(_: ShardState) -> None:
    pass


class _SendsWhatIsHeld(Dispatcher):
    """An order concerns only what is still to be read."""

    def _is_discarded(self, delivery: Delivery) -> bool:
        return False


class _CutsByTimeAlone(ShardCuts):
    """Takes later messages, too: what is sent again, and a foreign producer's with old timestamps."""

    __slots__ = ()

    def change(self, cuts: tuple[Cut, ...]) -> bool:
        changed = super().change(cuts)
        if cuts:
            self.upto = sys.maxsize  # who asks compares with it first
        return changed

    def takes(self, offset: int, timestamp: float) -> bool:
        return any(timestamp < cut.before for cut in self._cuts)


class _WaitingState(ShardState):
    __slots__ = ()

    @property
    def wants_what_is_cut(self) -> bool:
        return False


def _shards_whose(part: str, kind: type) -> type[DeliveryEngine]:
    """Each shard's state, or a part of it, is of another kind."""

    class Made(Shards):
        def add(self, shard: Shard) -> ShardState:
            state = super().add(shard)
            _swap(getattr(state, part) if part else state, kind)
            return state

    return _with(shards=Made)


# Shards ---------------------------------------------------------------------------------------


class _StartsAtTheEnd(ShardLoader):
    """A position that the log has forgotten is taken for a new group's, and that for the end."""

    async def _begin(
        self, state: ShardState, position: Position | None, bounds: Bounds, extent: Extent
    ) -> BeginAt | StopShard:
        if position is None and extent.ledger.end:
            return BeginAt(bounds.end)
        return await super()._begin(state, position, bounds, extent)


class _NeverFrozen(Tick):
    """Goes on as if nothing had been, after it stood still."""

    def check(self) -> None:
        pass


class DropsNotes:
    """A `DeliveryLedger` that says of every outcome that it is written, and writes none."""

    def __init__(self, ledger: DeliveryLedger) -> None:
        self._ledger = ledger

    async def write(self, shard: Shard, notes: Sequence[Note]) -> Sequence[int]:
        end = (await self._ledger.extent(shard)).ledger.end
        kept = [note for note in notes if not isinstance(note, LedgerRecord)]
        positions = iter(await self._ledger.write(shard, kept) if kept else ())
        return [end if isinstance(note, LedgerRecord) else next(positions) for note in notes]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


class AnswersEarly:
    """A `MessagePublisher` that says yes before it has asked the log."""

    def __init__(self, publisher: MessagePublisher) -> None:
        self._publisher = publisher

    async def publish(self, records: Sequence[NewRecord]) -> Sequence[Receipt | Unconfirmed]:
        answers = await self._publisher.publish(records)
        return [Receipt(0) if isinstance(answer, Unconfirmed) else answer for answer in answers]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._publisher, name)


Wrap = Callable[[Any], Any]


def _as_it_is(port: Any) -> Any:
    return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Saboteur:
    """One broken rule: an engine, or wrappers around ports; and the promise that it breaks."""

    promise: str = ""
    engine: type[DeliveryEngine] = DeliveryEngine
    ledger: Wrap = _as_it_is
    publisher: Wrap = _as_it_is
    fences: bool = True  # whether the log refuses commits of a process that lost the partition


HERALD = Saboteur()
"""Nothing is broken."""

SAFE = "the position never passes what is neither ended nor kept apart"
ORDER = "first deliveries of a key are in the logs order"
LOST = "nothing is lost"
ENDED = "what has ended is never sent again"
AWAKE = "what may be sent waits for nobody"

SABOTEURS: Mapping[str, Saboteur] = MappingProxyType(
    {
        "commits-early": Saboteur(promise=SAFE, engine=_with(shards=_EarlyShards)),
        "commits-before-the-note": Saboteur(promise=SAFE, engine=_with(_books=_EndsBeforeTheNote)),
        "forgets-revoked-work": Saboteur(promise=LOST, engine=_ForgetsRevokedWork),
        "drops-ledger-writes": Saboteur(promise=SAFE, ledger=DropsNotes),
        "tombstones-first": Saboteur(promise=SAFE, engine=_with(_books=_TombstoneFirst)),
        "reads-deferrals-too-late": Saboteur(promise=LOST, engine=_shards_with(_ReadsDeferralsTooLate)),
        "answers-before-the-log": Saboteur(promise=LOST, publisher=AnswersEarly),
        "starts-at-the-end": Saboteur(promise=LOST, engine=_with(_loader=_StartsAtTheEnd)),
        "buries-nothing": Saboteur(promise=LOST, engine=_with(_dispatcher=_BuriesNothing)),
        "suppresses-dead-ids": Saboteur(promise=LOST, engine=_shards_with(_SuppressesDeadIds)),
        "forgets-lanes": Saboteur(promise=ORDER, engine=_with(_intake=_Laneless)),
        "lets-others-pass": Saboteur(promise=ORDER, engine=_with(_books___lanes=_LetsOthersPass)),
        "ignores-the-reader": Saboteur(promise=SAFE, engine=_with(_reception=_IgnoresTheReader)),
        "sends-what-ended": Saboteur(promise=ENDED, engine=_with(_intake=_SendsWhatEnded)),
        "forgets-the-window": Saboteur(
            promise="the same request is delivered once", engine=_shards_with(_ForgetsTheWindow)
        ),
        "delivers-reused-ids": Saboteur(
            promise="another message of a known id becomes a dead letter",
            engine=_with(_intake=_DeliversReusedIds),
        ),
        "spends-attempts": Saboteur(
            promise="an outage spends no attempt", engine=_with(_dispatcher___parts__judge=_SpendsAttempts)
        ),
        "forgets-tries": Saboteur(promise="tries are not forgotten", engine=_with(_intake=_ForgetsTries)),
        "forgets-the-wait": Saboteur(
            promise="a lost answer is waited for before it is sent again",
            engine=_with(_dispatcher___parts__judge=_ForgetsTheWait),
        ),
        "asks-too-often": Saboteur(
            promise="a lost answer is asked again only so often",
            engine=_with(_dispatcher___parts__judge=_AsksTooOften),
        ),
        "gives-up-early": Saboteur(
            promise="nobody gives up before the last try",
            engine=_with(_dispatcher___parts__judge=_GivesUpEarly),
        ),
        "never-expires": Saboteur(
            promise="nothing is sent after its time", engine=_with(_dispatcher=_NeverExpires)
        ),
        "notes-without-bound": Saboteur(
            promise="a kill repeats at most twice the concurrency",
            engine=_with(_dispatcher=_NotesWithoutBound),
        ),
        "loses-a-wake": Saboteur(promise=AWAKE, engine=_with(_dispatcher=_LosesAWake)),
        "stays-awake": Saboteur(promise=AWAKE, engine=_with(_dispatcher=_StaysAwake)),
        "sets-no-alarm": Saboteur(promise=AWAKE, engine=_with(_dispatcher=_SetsNoAlarm)),
        "defers-alone": Saboteur(
            promise="what fails for long holds no position", engine=_with(_books=_DefersAlone)
        ),
        "never-tombstones": Saboteur(
            promise="in the end all is committed and nothing is put off",
            engine=_with(_books=_NoTombstones),
        ),
        "begins-without-orders": Saboteur(
            promise="what is ordered to be discarded is not sent", engine=_with(_loader=_BeginsWithoutOrders)
        ),
        "sends-what-is-held": Saboteur(
            promise="what is ordered to be discarded is not sent", engine=_with(_dispatcher=_SendsWhatIsHeld)
        ),
        "cuts-by-time-alone": Saboteur(
            promise="nothing else is discarded", engine=_shards_whose("cuts", _CutsByTimeAlone)
        ),
        "waits-for-the-channel": Saboteur(
            promise="what is discarded waits for no channel", engine=_shards_whose("", _WaitingState)
        ),
        "writes-after-a-freeze": Saboteur(
            promise="a process that stood still too long writes and sends nothing",
            engine=_with(_tick=_NeverFrozen),
        ),
        "commits-after-losing": Saboteur(promise="only who holds a partition commits it", fences=False),
        "skips-on-offset-alone": Saboteur(
            promise="a topic made anew is not taken for the old one",
            engine=_shards_with(_SkipsOnOffsetAlone),
        ),
    }
)


def sabotage(container: type[Container], saboteur: Saboteur) -> None:
    """The container's engine and publisher with the rule broken, over whatever log the settings name."""
    container.engine.set_provides(saboteur.engine)
    if saboteur.ledger is not _as_it_is:
        container.engine.add_kwargs(ledger=providers.Singleton(saboteur.ledger, container.ledger))
    if saboteur.publisher is not _as_it_is:
        publisher = providers.Singleton(saboteur.publisher, container.publisher)
        container.produce.set_args(publisher, container.settings, container.produce_counts)


if __name__ == "__main__":
    sabotage(Container, SABOTEURS[sys.argv.pop(1)])
    end_with(lambda: main(None, Invocation(Programs())))
