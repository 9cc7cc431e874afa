"""The table from a Messages API's answers to outcomes."""

import json

import pytest

from adapters.http_sms_answers import outcome_of_answer
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain, Uncertain

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT


def outcome(status: int, body: object = None, **headers: str) -> Outcome:
    data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    return outcome_of_answer(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, data, NOW
    )


def kind(found: Outcome) -> str:
    return f"{type(found).__name__}{'!' if getattr(found, 'certain', False) else ''}"


SAYS_NOTHING = (b"", b"<html>", b"\xff\xfe", b"[" * 60_000, b"[1]", b"null", b'{"sid')


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (100, "Uncertain"),
        (200, "Uncertain"),
        (201, "Delivered"),
        (204, "Uncertain"),
        (301, "ChannelDown"),
        (302, "ChannelDown"),
        (307, "ChannelDown"),
        (400, "TryAgain"),
        (401, "ChannelDown!"),
        (402, "TryAgain"),
        (403, "ChannelDown!"),
        (404, "ChannelDown"),
        (405, "TryAgain"),
        (409, "TryAgain"),
        (413, "TryAgain"),
        (422, "TryAgain"),
        (429, "ChannelDown"),
        (500, "ChannelDown"),
        (501, "ChannelDown"),
        (502, "ChannelDown"),
        (503, "ChannelDown"),
        (504, "Uncertain"),
        (599, "ChannelDown"),
        (600, "Uncertain"),
        (999, "Uncertain"),
    ],
)
def test_the_status_alone_decides_where_the_body_says_nothing(status: int, expected: str) -> None:
    kinds = {kind(outcome(status, body)) for body in SAYS_NOTHING}

    assert kinds == {expected}


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_a_sid_is_delivered_under_that_name(status: int) -> None:
    assert outcome(status, {"sid": "SM123abc", "status": "queued"}) == Delivered("SM123abc")


@pytest.mark.parametrize("sid", [None, "", 7, ["SM1"]])
def test_a_sid_that_is_none_is_left_out(sid: object) -> None:
    assert outcome(201, {"sid": sid}) == Delivered("")
    assert outcome(200, {"sid": sid}) == Uncertain(
        "HTTP 200 without the sid of a text: does sms.url lead to a Messages API?"
    )


@pytest.mark.parametrize("code", [21211, 21408, 21608, 21610, 21614, 21635])
def test_a_code_about_the_recipient_refuses_for_good_with_status_400_only(code: int) -> None:
    assert kind(outcome(400, {"code": code})) == "Refused"
    assert kind(outcome(400, {"code": str(code)})) == "Refused"
    assert kind(outcome(422, {"code": code})) == "TryAgain"
    assert kind(outcome(404, {"code": code})) == "ChannelDown"


@pytest.mark.parametrize("code", [21212, 21606, 21617, 2121, 212110, None, "x\n21211", [21211], {}, True])
def test_any_other_code_with_status_400_is_tried_again(code: object) -> None:
    assert kind(outcome(400, {"code": code})) == "TryAgain"


def test_a_reason_has_the_providers_words_without_numbers() -> None:
    found = outcome(400, {"code": 21211, "message": "The 'To' number +15005550001\n is not valid. \ud800"})

    assert found == Refused("HTTP 400: code 21211: The 'To' number *** is not valid. ?")


def test_a_reason_is_short() -> None:
    found = outcome(422, {"message": "x" * 1000})

    assert isinstance(found, TryAgain)
    assert len(found.reason) == 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("3600", 3600.0),
        ("3601", 3600.0),
        ("9" * 400, 3600.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("Fri, 15 Jan 2038 07:00:00 GMT", 3600.0),
        ("-5", 0.0),
        ("1.5", 0.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("17, 18", 0.0),
        ("Fri, 99 Jan 2027 08:00:30 GMT", 0.0),
        ("Fri, 15 Jan 99999 08:00:30 GMT", 0.0),
        ("٣", 0.0),
    ],
)
def test_retry_after_is_obeyed_as_seconds_or_as_a_date_up_to_an_hour(value: str, seconds: float) -> None:
    assert outcome(503, retry_after=value) == ChannelDown("HTTP 503", seconds)
    assert outcome(429, retry_after=value) == ChannelDown("HTTP 429", seconds)
    assert outcome(409, retry_after=value) == TryAgain("HTTP 409", seconds)
