"""The log in memory, as `herald doctor` sees it."""

from adapters.memory_broker import MemoryBroker
from domain.diagnosis import Seen, ok, wrong


class MemoryProbe:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def look(self) -> Seen:
        if self._broker.down:
            return Seen((wrong("log", "the log does not answer"),))
        return Seen((ok("log", "in the memory of this process"),))
