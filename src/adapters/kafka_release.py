"""Which release a broker is of, as far as Kafka's protocol tells it.

No answer names a release. Since 3.3 a broker tells the metadata.version it can work with (ApiVersions,
version 3), and each level of that belongs to one release. aiokafka asks version 0, which tells no levels.
"""

from bisect import bisect_right
from collections.abc import Mapping
from io import BytesIO
from typing import Any, ClassVar

from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

_API_VERSIONS, _WITH_FEATURES = 18, 3
_SUPPORTED_FEATURES = 0  # the number of the tagged field
_FEATURE = "metadata.version"
# The first level of each release: org.apache.kafka.server.common.MetadataVersion of 4.4.
_FIRST_LEVELS = (
    (7, "3.3"),
    (8, "3.4"),
    (9, "3.5"),
    (12, "3.6"),
    (15, "3.7"),
    (20, "3.8"),
    (21, "3.9"),
    (22, "4.0"),
    (26, "4.1"),
    (28, "4.2"),
    (30, "4.3"),
    (31, "4.4"),
)
_LAST_KNOWN = 31
_FEATURES = CompactArray(
    ("name", CompactString("utf-8")), ("min", Int16), ("max", Int16), ("tags", TaggedFields)
)


class _Features(Response):  # type: ignore[misc]
    API_KEY = _API_VERSIONS
    API_VERSION = _WITH_FEATURES
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "api_versions",
            CompactArray(("api_key", Int16), ("min", Int16), ("max", Int16), ("tags", TaggedFields)),
        ),
        ("throttle_time_ms", Int32),
        ("tags", TaggedFields),
    )


class _FeaturesAsked(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _API_VERSIONS
    API_VERSION = _WITH_FEATURES
    RESPONSE_TYPE = _Features
    SCHEMA = Schema(
        ("client_software_name", CompactString("utf-8")),
        ("client_software_version", CompactString("utf-8")),
        ("tags", TaggedFields),
    )

    def parse_response_header(self, read_buffer: BytesIO | bytes) -> ResponseHeader_v0:
        """This answer alone has the old header, so that a client can read it before it knows anything."""
        return ResponseHeader_v0.decode(read_buffer)


class AskFeatures(Request[_FeaturesAsked]):  # type: ignore[misc]
    """ApiVersions, version 3."""

    API_KEY: ClassVar[int] = _API_VERSIONS

    def build(self, request_struct_class: type[_FeaturesAsked]) -> _FeaturesAsked:
        return request_struct_class("herald", "1", {})


def tells_features(versions: Mapping[int, tuple[int, int]]) -> bool:
    """`versions`: as aiokafka keeps them of a connection."""
    return versions.get(_API_VERSIONS, (0, 0))[1] >= _WITH_FEATURES


def release_of(answer: Any) -> str:
    """Which release the broker's answer to `AskFeatures` speaks of, in words; empty: it does not tell."""
    told = answer.tags.get(_SUPPORTED_FEATURES)
    levels = {name: most for name, _, most, _ in _FEATURES.decode(BytesIO(told))} if told else {}
    level = levels.get(_FEATURE)
    if level is None or level < _FIRST_LEVELS[0][0]:
        return ""
    at = bisect_right(_FIRST_LEVELS, level, key=lambda row: row[0]) - 1
    name = _FIRST_LEVELS[at][1]
    return f"Kafka {name}" if level <= _LAST_KNOWN else f"newer than Kafka {name}"
