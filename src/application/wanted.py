"""What an engine asks the log for next."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from domain.log import Shard


@dataclass(frozen=True, slots=True)
class Wanted:
    """`probing`: one message, to probe with. `only_cut`: what orders end, because nothing can be sent."""

    shards: AbstractSet[Shard]
    limit: int
    probing: bool = False
    only_cut: bool = False
