"""pytest's side of `tests.site`: a machine over each log."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.site import Site, kafka_log, site, sqlite_log


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def log_settings(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """The settings of a fresh log, once on SQLite and once on Kafka."""
    if request.param == "sqlite":
        return sqlite_log()
    address: str = request.getfixturevalue("kafka_address")
    return kafka_log(address, f"site-{uuid4().hex[:8]}")


@pytest.fixture
async def any_site(tmp_path: Path, log_settings: Mapping[str, str]) -> AsyncIterator[Site]:
    async with site(tmp_path, log_settings) as one:
        yield one


@pytest.fixture
async def sqlite_site(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path, sqlite_log()) as one:
        yield one


@pytest.fixture
async def kafka_site(tmp_path: Path, kafka_address: str) -> AsyncIterator[Site]:
    async with site(tmp_path, kafka_log(kafka_address, f"site-{uuid4().hex[:8]}")) as one:
        yield one
