"""Which partition a message goes to. The choice is for life: dedupe and key order rest on it."""

from functools import lru_cache
from zlib import crc32

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned, as `org.apache.kafka.common.utils.Utils.murmur2` has it."""
    length = len(data)
    whole = length & ~3
    h = _SEED ^ length
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * _MIX & _MASK
        k = (k ^ k >> 24) * _MIX & _MASK
        h = (h * _MIX & _MASK) ^ k
    if tail := data[whole:]:
        h = (h ^ int.from_bytes(tail, "little")) * _MIX & _MASK
    h = (h ^ h >> 13) * _MIX & _MASK
    return h ^ h >> 15


@lru_cache(maxsize=65_536)
def partition_of_key(key: str, partitions: int) -> int:
    """The partition that Kafka's default partitioner chooses, so that a Java or Go client agrees."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def partition_of_request(request_id: str, partitions: int) -> int:
    """The partition of a message without a key: the same request sent again reaches the same one."""
    return crc32(request_id.encode()) % partitions


def choose_partition(*, explicit: int | None, key: str | None, request_id: str, partitions: int) -> int:
    """An explicit partition wins over the key, the key over the request id."""
    if explicit is not None:
        return explicit
    if key is not None:
        return partition_of_key(key, partitions)
    return partition_of_request(request_id, partitions)
