"""What every test shares."""

import os
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.kafka", "tests.browser")

pytest_plugins = ["tests.kafka.plugin", "tests.browser"]

# Processes that tests start see what a user's see: a library that only the tests' tools bring, and that
# dependency-injector would import at each start, is not there for them.
_ABSENT = str(Path(__file__).parent / "absent")
if _ABSENT not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_ABSENT, os.environ.get("PYTHONPATH", "")]))
