"""What every test shares."""

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.kafka", "tests.browser")

pytest_plugins = ["tests.kafka.plugin", "tests.browser"]
