"""The note that goes with a committed offset: from where the group's own notes must be read back.

`1 L D`: a version, a position in the ledger and one in the deferrals. Kafka keeps up to 4,096 characters.
"""

import re

from domain.errors import UnknownVersion
from domain.ledger import Places

VERSION = "1"
_is_places = re.compile(r"1 (0|[1-9][0-9]{0,18}) (0|[1-9][0-9]{0,18})\Z", re.ASCII).match


def write_metadata(places: Places) -> str:
    return f"{VERSION} {places.ledger} {places.deferred}"


def read_metadata(metadata: str) -> Places | None:
    """None where there is none: a commit made by hand or before there was a ledger.

    Raises `UnknownVersion`.
    """
    if not metadata:
        return None
    match = _is_places(metadata)
    if match is None:
        raise UnknownVersion(
            "its committed position carries a note of a newer Herald: run the version that wrote it"
        )
    return Places(int(match[1]), int(match[2]))
