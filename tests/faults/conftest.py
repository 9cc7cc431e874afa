"""Both logs for the tests that run whole processes."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.scene import Scene, scene
from tests.site import kafka_log, sqlite_log
from tests.site_fixtures import any_site, kafka_site, log_settings, sqlite_site

__all__ = ["any_site", "kafka_site", "log_settings", "sqlite_site"]


@pytest.fixture
async def any_scene(tmp_path: Path, log_settings: Mapping[str, str]) -> AsyncIterator[Scene]:
    async with scene(tmp_path, log_settings) as one:
        yield one


@pytest.fixture
async def kafka_scene(tmp_path: Path, kafka_address: str) -> AsyncIterator[Scene]:
    async with scene(tmp_path, kafka_log(kafka_address, f"scene-{uuid4().hex[:8]}")) as one:
        yield one


@pytest.fixture
async def sqlite_scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, sqlite_log()) as one:
        yield one
