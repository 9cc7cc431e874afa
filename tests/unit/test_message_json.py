import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.email_address import address_fault
from adapters.message_json import (
    NotJson,
    RequestDecoder,
    WrongFields,
    decode_record,
    encode,
    request_id_of,
    request_of,
)
from domain.log import Record, Shard
from domain.message import BODY_LIMIT, TEXT_LIMIT, FieldError, Message, ProduceRequest

RIGHT = {
    "request_id": "r-1",
    "topic_name": "t",
    "message_body": "Paid.\n",
    "transaction_id": "TX",
    "customer_id": "C",
    "email": "ada@example.com",
    "phone": "+15551234567",
    "key": "k",
    "partition": 3,
    "expires_at": "2030-01-31T12:00:00Z",
}
WHOLE = Message(
    request_id="r-1",
    topic_name="t",
    message_body="Paid.\n",
    transaction_id="TX",
    customer_id="C",
    email="ada@example.com",
    phone="+15551234567",
    key="k",
    expires_at="2030-01-31T12:00:00Z",
)

decode = RequestDecoder(address_fault, lambda: "made")


def body_of(**fields: Any) -> bytes:
    return json.dumps({"topic_name": "t", "email": "ada@example.com", **fields}).encode()


def test_a_whole_message_is_read() -> None:
    assert decode(json.dumps(RIGHT).encode()) == request_of(WHOLE, 3)


@pytest.mark.parametrize("text", ["Paid.", "Bezahlt: 5 €.", "Two\nlines."])
def test_the_log_keeps_the_same_bytes_whatever_way_and_order_they_came_in(text: str) -> None:
    # Their digest tells a request that is sent again from another one of the same id.
    body = dict(reversed({**RIGHT, "message_body": text}.items()))
    kept = encode(WHOLE._replace(message_body=text))
    requests = [decode(json.dumps(body, ensure_ascii=escaped).encode()) for escaped in (True, False)]

    assert [request.value for request in requests if isinstance(request, ProduceRequest)] == [kept, kept]


def test_an_id_is_made_where_none_is_given() -> None:
    message = Message(request_id="made", topic_name="t", email="ada@example.com")

    assert decode(body_of()) == request_of(message, has_own_id=False)


@pytest.mark.parametrize("absent", ["", None])
def test_fields_given_empty_are_absent(absent: object) -> None:
    body = body_of(**dict.fromkeys(RIGHT.keys() - {"topic_name", "email"}, absent))

    message = Message(request_id="made", topic_name="t", email="ada@example.com")
    assert decode(body) == request_of(message, has_own_id=False)


@pytest.mark.parametrize(
    "email", ["jürgen@example.com", "post@straße.example", "用户@例子.example", "x@herald.test"]
)
def test_international_and_reserved_addresses_are_taken(email: str) -> None:
    assert isinstance(decode(body_of(email=email)), ProduceRequest)


def test_every_mistake_is_named_and_what_was_usable_is_kept() -> None:
    body = body_of(request_id="r-1", partition=2, email="nobody", phone="0049", colour="red")

    refused = decode(body)

    assert isinstance(refused, WrongFields)
    assert [error.pointer for error in refused.errors] == ["#/colour", "#/email", "#/phone"]
    assert (refused.request_id, refused.topic_name, refused.partition) == ("r-1", "t", 2)


def test_of_wrong_fields_nothing_is_kept() -> None:
    refused = decode(body_of(request_id="a b", topic_name=1, partition="1"))

    assert isinstance(refused, WrongFields)
    assert (refused.request_id, refused.topic_name, refused.partition) == (None, None, None)


def test_an_empty_id_is_none() -> None:
    refused = decode(body_of(request_id="", email="nobody"))

    assert isinstance(refused, WrongFields)
    assert refused.request_id is None


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b'{"email":"\xff"}', "it is not UTF-8"),
        (b'{"email":"\xed\xa0\x80"}', "it is not UTF-8"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is nested too deeply"),
        (b"{}}", "JSON is malformed: trailing characters (byte 3)"),
        (b"{} {}", "JSON is malformed: trailing characters (byte 4)"),
        (b"{'a':1}", "JSON is malformed: object keys must be strings (byte 1)"),
        (b'{"partition":NaN}', "JSON is malformed: invalid character (byte 13)"),
        (b'{"partition":01}', "JSON is malformed: invalid number (byte 14)"),
        (b'{"key":"a', "Input data was truncated"),
        (b'{"key":"\\udc00x"}', "JSON is malformed: invalid utf-16 surrogate pair (byte 14)"),
        (b'{"key":"\x01"}', "JSON is malformed: invalid character (byte 8)"),
    ],
)
def test_what_is_not_json_is_told_without_showing_it(body: bytes, detail: str) -> None:
    assert decode(body) == NotJson(detail)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1", b"true"])
def test_json_that_is_no_object_is_no_message(body: bytes) -> None:
    assert decode(body) == WrongFields((FieldError("#", "must be an object"),))


@pytest.mark.parametrize("number", [b"9" * 5000, b"1e400", b"-1e400"])
def test_a_number_beyond_all_bounds_is_no_message(number: bytes) -> None:
    body = b'{"topic_name":"t","email":"a@b.c","partition":' + number + b"}"

    assert decode(body) == WrongFields((FieldError("#", "has a number that is out of range"),))


def test_of_a_field_given_twice_the_last_counts() -> None:
    request = decode(b'{"topic_name":"a","email":"nobody","topic_name":"b","email":"a@b.c"}')

    assert isinstance(request, ProduceRequest)
    assert request.topic_name == "b"
    assert json.loads(request.value)["email"] == "a@b.c"


@pytest.mark.parametrize("name", ["topic_name", "transaction_id", "customer_id", "key", "message_body"])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_control_character_is_found_however_it_is_written(name: str, escaped: bool) -> None:  # noqa: FBT001 - a parameter
    codes = (0x00, 0x08, 0x0B, 0x0D, 0x1F, 0x7F, 0x80, 0x85, 0x9F)
    bodies = [json.dumps({**RIGHT, name: f"a{chr(code)}"}, ensure_ascii=escaped) for code in codes]

    refused = [decode(body.encode()) for body in bodies]

    wrong = [fault.errors for fault in refused if isinstance(fault, WrongFields)]
    assert [[error.pointer for error in errors] for errors in wrong] == [[f"#/{name}"]] * len(codes)


TEXT = st.text(max_size=8) | st.sampled_from(["", "a\n", "\x00", "\x7f", "\x85", "é", "\u2028", "x" * 257])
ADDRESS = st.sampled_from(
    ["a@b.c", "A.b+c@d-e.example", "ä@ö.example", "a@b", "a@b.c\n", "a\x7f@b.c", '"a"@b.c']
)
VALUES = {
    "request_id": TEXT | st.sampled_from(["r-1", "x" * 128, "x" * 129]),
    "topic_name": TEXT | st.just("t"),
    "message_body": TEXT | st.sampled_from(["x" * BODY_LIMIT, "x" * (BODY_LIMIT + 1)]),
    "transaction_id": TEXT | st.just("x" * TEXT_LIMIT),
    "customer_id": TEXT,
    "email": ADDRESS | TEXT,
    "phone": st.sampled_from(["+15551234567", "+1555\n", "+123456", "+1234567\n", ""]),
    "key": TEXT,
    "partition": st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    "expires_at": st.sampled_from(["2030-01-31T12:00:00Z", "2030-01-31T24:00:00Z", "", "soon"]) | TEXT,
}
ANYTHING = st.none() | st.booleans() | st.integers() | st.lists(TEXT, max_size=2)
OBJECTS = st.fixed_dictionaries(
    {"topic_name": VALUES["topic_name"], "email": VALUES["email"] | ANYTHING},
    optional={
        **{name: values | ANYTHING for name, values in VALUES.items() if name not in {"topic_name", "email"}},
        "colour": TEXT,
    },
)


@given(OBJECTS, st.booleans())
@settings(max_examples=300, deadline=None, database=None)
def test_the_shortcut_answers_what_the_authority_answers(fields: dict[str, Any], escaped: bool) -> None:  # noqa: FBT001
    body = json.dumps(fields, ensure_ascii=escaped).encode("utf-8", "surrogatepass")

    assert decode(body) == decode.carefully(body)


@given(st.lists(OBJECTS | st.just({}), min_size=1, max_size=4), st.booleans(), st.sampled_from([None, 1]))
@settings(max_examples=300, deadline=None, database=None)
def test_many_at_once_are_what_each_is_alone(
    objects: list[dict[str, Any]],
    escaped: bool,  # noqa: FBT001
    indent: int | None,
) -> None:
    bodies = [
        json.dumps({**RIGHT, **fields}, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
        for fields in objects
    ]
    together = decode.many(bodies)

    assert together in (None, [decode(body) for body in bodies])


@pytest.mark.parametrize("text", ["Paid.", "Bezahlt: 5 €."])
def test_many_that_are_right_are_read_at_once(text: str) -> None:
    bodies = [body_of(message_body=text), body_of(request_id="r-1", key=""), body_of(partition=2)]

    assert decode.many(bodies) == [decode(body) for body in bodies]


LINE = body_of()


@pytest.mark.parametrize(
    "texts",
    [
        # Two objects in one text, and one in two: as many as texts, and none of them right.
        [LINE + LINE, LINE[:20], LINE[20:]],
        [LINE[:-1], b"}"],
        [LINE, b" "],
        [LINE + b"\r", LINE],
        [LINE, b"[]"],
        [LINE, LINE + b","],
        [LINE, b"{}"],
        [body_of(expires_at="tomorrow"), LINE],
        [body_of(email="", phone=None), LINE],
    ],
)
def test_of_many_that_are_not_all_right_each_is_looked_at_alone(texts: list[bytes]) -> None:
    assert decode.many(texts) is None


@given(st.binary(max_size=40), st.integers(0, 200), st.integers(0, 4))
@settings(max_examples=300, deadline=None, database=None)
def test_on_damaged_bytes_both_answer_the_same(junk: bytes, at: int, cut: int) -> None:
    whole = json.dumps(RIGHT).encode()
    body = whole[:at] + junk + whole[at + cut :]

    assert decode(body) == decode.carefully(body)


@given(OBJECTS, st.booleans())
@settings(max_examples=200, deadline=None, database=None)
def test_what_is_taken_comes_out_of_the_log_as_it_went_in(fields: dict[str, Any], escaped: bool) -> None:  # noqa: FBT001
    request = decode(json.dumps({**RIGHT, **fields}, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))
    taken = request if isinstance(request, ProduceRequest) else request_of(WHOLE)
    message = decode_record(record(taken.value, topic=taken.topic_name))

    assert isinstance(message, Message)
    assert request_of(message, taken.partition, has_own_id=taken.has_own_id) == taken


def record(value: bytes | None, topic: str = "t") -> Record:
    return Record(Shard(topic, 3), 42, None, value, (), 0.0)


def test_a_record_holds_the_fields_that_were_given() -> None:
    fields = {name: value for name, value in RIGHT.items() if name != "partition"}

    assert json.loads(encode(WHOLE)) == fields
    assert encode(Message(request_id="r", topic_name="t", phone="+1")) == (
        b'{"request_id":"r","topic_name":"t","phone":"+1"}'
    )


def test_a_record_of_another_producer_gets_an_id_from_its_place() -> None:
    assert decode_record(record(b'{"email":"a@b.c","request_id":""}')) == Message(
        request_id="t-3-42", topic_name="t", email="a@b.c"
    )


def test_a_records_topic_is_where_it_was_found() -> None:
    assert decode_record(record(b'{"request_id":"r","topic_name":"other"}')) == Message(
        request_id="r", topic_name="t"
    )


def test_fields_of_newer_writers_are_passed_over() -> None:
    value = b'{"request_id":"r","push":{"token":[1,2]},"partition":"x"}'

    assert decode_record(record(value)) == Message(request_id="r", topic_name="t")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "the record has no value"),
        (b"", "the record is not a message: it is empty"),
        (b"\x00\x01", "the record is not a message: JSON is malformed: invalid character (byte 0)"),
        (b'{"email":"\xff"}', "the record is not a message: it is not UTF-8"),
        (b"[]", "the record is not a message: Expected `object`, got `array`"),
        (b'{"email":5}', "the record is not a message: Expected `str | null`, got `int` - at `$.email`"),
        (b'{"x":' + b"[" * 100_000, "the record is not a message: it is nested too deeply"),
        (
            b'{"request_id":"a\\r\\nBcc: x"}',
            "the record is not a message: request_id must be 1 to 128 of A-Z a-z 0-9 . _ : -",
        ),
    ],
)
def test_a_record_that_is_no_message_is_told_without_showing_it(value: bytes | None, fault: str) -> None:
    assert decode_record(record(value)) == fault


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None, database=None)
def test_no_bytes_make_the_record_decoder_raise(value: bytes) -> None:
    assert isinstance(decode_record(record(value)), str | Message)


def returned(value: bytes | None, request_id: bytes) -> Record:
    """One that was put back into its topic."""
    headers = (("herald-group", b"email"), ("herald-replay", b"1"), ("herald-request-id", request_id))
    return record(value)._replace(headers=headers)


@pytest.mark.parametrize("value", [b'{"request_id":"other"}', b"{}", b'{"request_id":"not an id"}'])
def test_the_id_of_a_record_that_was_put_back_holds_before_any_other(value: bytes) -> None:
    assert decode_record(returned(value, b"t-0-7")) == Message(request_id="t-0-7", topic_name="t")
    assert request_id_of(returned(value, b"t-0-7")) == "t-0-7"


def test_what_is_put_back_under_no_id_is_no_message() -> None:
    fault = decode_record(returned(b"{}", b"\xff no id"))

    assert isinstance(fault, str)
    assert "request_id must be" in fault


@pytest.mark.parametrize(
    ("kept", "request_id"),
    [
        (record(b'{"request_id":"r"}'), "r"),
        (record(b"{}"), "t-3-42"),
        (record(b'{"request_id":"not an id"}'), "t-3-42"),
        (record(b"no json"), "t-3-42"),
        (record(None), "t-3-42"),
        (returned(None, b"t-0-3"), "t-0-3"),
        (returned(b"no json", b"\xff"), "t-3-42"),
    ],
)
def test_every_record_has_an_id(kept: Record, request_id: str) -> None:
    assert request_id_of(kept) == request_id
