"""Engines with one rule broken each: if the histories did not find them, they would prove nothing.

How many histories each took stands at the end of the run.
"""

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.saboteurs import SABOTEURS
from tests.simulation.history import History
from tests.simulation.promises import broken_promises

pytestmark = pytest.mark.timeout(600)  # seconds where the machine has time; other work may share it

MOST = 1000
"""Far above what the slowest to find takes; it is found within a few dozen."""


@pytest.fixture(autouse=True)
def _without_logging() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


# The promise is named: an engine that merely crashed would break another one and prove nothing.
@pytest.mark.parametrize("name", SABOTEURS)
def test_a_broken_rule_is_found_by_the_promise_it_breaks(
    name: str, record_property: Callable[[str, object], None]
) -> None:
    saboteur = SABOTEURS[name]
    histories = next(
        (
            seed + 1
            for seed in range(MOST)
            if saboteur.promise in broken_promises(History(seed, saboteur).play())
        ),
        None,
    )

    record_property("histories", histories)
    record_property("promise", saboteur.promise)
    assert histories is not None, f"{MOST} histories did not find it"
