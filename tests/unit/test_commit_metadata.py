import pytest

from application.commit_metadata import read_metadata, write_metadata
from domain.errors import UnknownVersion
from domain.ledger import Places

LARGEST = 2**63 - 1


@pytest.mark.parametrize("places", [Places(0, 0), Places(7, 0), Places(12, 345), Places(LARGEST, LARGEST)])
def test_what_is_written_is_read_back(places: Places) -> None:
    assert read_metadata(write_metadata(places)) == places


def test_it_begins_with_its_version_and_is_short() -> None:
    written = write_metadata(Places(LARGEST, LARGEST))

    assert write_metadata(Places(3, 4)) == "1 3 4"
    assert len(written) < 4096 / 50  # Kafka keeps up to 4,096 characters


def test_none_at_all_says_nothing() -> None:
    assert read_metadata("") is None


@pytest.mark.parametrize(
    "metadata",
    ["2 3 4", "1", "1 3", "1 3 4 5", "1 -3 4", "1 03 4", "1 3 4\n", " 1 3 4", "1 ٣ 4", "anything", "1  3 4"],
)
def test_what_another_version_wrote_is_not_guessed_at(metadata: str) -> None:
    with pytest.raises(UnknownVersion, match="newer Herald"):
        read_metadata(metadata)
