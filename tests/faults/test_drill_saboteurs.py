"""What `herald drill` finds where Herald is broken on purpose."""

import sys
from pathlib import Path

import pytest

from tests.faults.drilling import QUICK, drill

BROKEN = f"{sys.executable} -P -m tests.saboteurs"

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize(
    ("rule", "figure"),
    [
        ("commits-early", "lost"),
        ("forgets-lanes", "out_of_order"),
        ("lets-others-pass", "out_of_order"),
        ("drops-ledger-writes", "beyond"),
    ],
)
async def test_a_broken_rule_is_found_by_the_promise_it_breaks(
    tmp_path: Path, rule: str, figure: str
) -> None:
    few = ("--set", "delivery.concurrency=4", "--patience", "8")
    ended = await drill(tmp_path, *QUICK, *few, "--json", "--consumer-program", f"{BROKEN} {rule}")

    assert ended.code == 1, ended
    assert {name for name, count in ended.worst.items() if count} == {figure}
