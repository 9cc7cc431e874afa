"""Which channels a message is for."""

import pytest

from domain.channels import channels_of, reach_every_message
from domain.message import Message


@pytest.mark.parametrize(
    ("addresses", "channels"),
    [
        ({"email": "ada@example.com"}, {"email"}),
        ({"phone": "+12025550143"}, {"sms"}),
        ({"email": "ada@example.com", "phone": "+12025550143"}, {"email", "sms"}),
        ({}, set()),
    ],
)
def test_a_message_is_for_the_channels_it_has_an_address_for(
    addresses: dict[str, str], channels: set[str]
) -> None:
    assert channels_of(Message(request_id="1", topic_name="t", **addresses)) == channels


def test_only_groups_for_every_kind_of_address_reach_every_message() -> None:
    assert reach_every_message(["sms", "email"])
    assert not reach_every_message(["sms"])
