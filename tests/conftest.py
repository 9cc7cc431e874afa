"""What all tests share. A contract suite's failures print like any test's."""

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.kafka")

pytest_plugins = ["tests.kafka.plugin"]
