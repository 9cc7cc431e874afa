"""A report of a consumer process that cannot be true is as none."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.presence_json import decode_report, encode_report
from domain.presence import ChannelState, ProcessReport, TopicWork
from tests.board_parts import report

WRONG: list[dict[str, Any]] = [
    {"at": 1e300},
    {"started_at": -1.0},
    {"channel": ChannelState(up=True, since=1e18)},
    {"pid": -1},
    {"in_flight": 10**400},
    {"topics": (TopicWork(topic="transactions", partitions=2**60),)},
    {"topics": (TopicWork(topic="transactions", partitions=1, outcomes={"sent": 10**400}),)},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_report_that_cannot_be_true_is_as_none(wrong: dict[str, Any]) -> None:
    # One such report made an error 500 of the board, for everybody, for as long as it lay there.
    assert decode_report(encoded(replace(report(), **wrong))) is None


def encoded(wrong: ProcessReport) -> bytes:
    """As JSON, also where a number is larger than the encoder takes."""
    huge = 10**400
    small = 987_654_321
    swapped = replace(
        wrong,
        in_flight=small if wrong.in_flight == huge else wrong.in_flight,
        topics=tuple(
            replace(work, outcomes={name: small if n == huge else n for name, n in work.outcomes.items()})
            for work in wrong.topics
        ),
    )
    return encode_report(swapped).replace(b"%d" % small, b"%d" % huge)


def test_what_is_written_is_read_again() -> None:
    assert decode_report(encode_report(report())) == report()
