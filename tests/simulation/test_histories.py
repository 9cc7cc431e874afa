"""The promises that hold whatever happens, checked over many random histories.

`HERALD_HISTORIES=20000` runs more of them. A failing history names its seed: run it again with
`pytest "tests/simulation/test_histories.py::test_whatever_happens_nothing_is_lost_or_out_of_order[SEED]"`.
"""

import os

import pytest

from tests.simulation.history import History

HISTORIES = int(os.environ.get("HERALD_HISTORIES", "150"))


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_whatever_happens_nothing_is_lost_or_out_of_order(seed: int) -> None:
    history = History(seed)

    await history.run()

    assert history.lost() == set()
    assert history.out_of_order() == []
    assert history.not_committed() == []
    assert history.put_off() == set()
    assert history.stuck_stops == 0
