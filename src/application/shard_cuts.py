"""What orders to discard take of one shard, while it is this process's own."""

from domain.discard import Cut


class ShardCuts:
    """Asked for each record and before each try; with no order it costs next to nothing."""

    __slots__ = ("_cuts", "_refused", "ended", "upto")

    def __init__(self) -> None:
        self._cuts: tuple[Cut, ...] = ()
        self._refused = -1  # where the reader met a record that no order takes
        self.upto = 0  # no order takes anything from here on
        self.ended = 0  # messages that ended by an order, and were not told of yet

    def change(self, cuts: tuple[Cut, ...]) -> bool:
        """Whether they are others than before."""
        if cuts == self._cuts:
            return False
        self._cuts = cuts
        self._refused = -1
        self.upto = max((cut.upto for cut in cuts), default=0)
        return True

    def takes(self, offset: int, timestamp: float) -> bool:
        return offset < self.upto and any(cut.takes(offset, timestamp) for cut in self._cuts)

    def may_take_from(self, offset: int) -> bool:
        """Whether it is worth reading on from here although nothing can be sent."""
        return offset < self.upto and offset != self._refused

    def refuse(self, offset: int) -> None:
        """What comes from here on is not theirs: the orders begin with the oldest, and so end here."""
        self._refused = offset
