from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.message import (
    BODY_LIMIT,
    EMAIL_LIMIT,
    TEXT_LIMIT,
    FieldError,
    parse_time,
    pointer_to,
    wrong_fields,
)

RIGHT = {"topic_name": "transactions", "email": "ada@example.com"}
TEXTS = ("message_body", "transaction_id", "customer_id", "key")


def no_fault(_: str) -> str | None:
    return None


def some_fault(_: str) -> str | None:
    return "must be a mail address"


def errors_of(**fields: object) -> list[FieldError]:
    return wrong_fields({**RIGHT, **fields}, some_fault)


def pointers_of(**fields: object) -> list[str]:
    return [error.pointer for error in errors_of(**fields)]


def test_a_topic_and_an_address_are_enough() -> None:
    assert errors_of() == []


def test_a_phone_number_is_as_good_as_a_mail_address() -> None:
    assert wrong_fields({"topic_name": "t", "phone": "+15551234567"}, some_fault) == []


def test_without_anything_the_topic_and_an_address_are_missed() -> None:
    assert wrong_fields({}, some_fault) == [
        FieldError("#/topic_name", "is required"),
        FieldError("#", "at least one of email and phone is required"),
    ]


@pytest.mark.parametrize("absent", ["", None])
def test_an_empty_optional_field_counts_as_absent(absent: object) -> None:
    fields = dict.fromkeys(
        [*TEXTS, "request_id", "phone", "partition", "expires_at"],
        absent,
    )

    assert errors_of(**fields) == []


@pytest.mark.parametrize("absent", ["", None])
def test_empty_addresses_and_an_empty_topic_are_missed(absent: object) -> None:
    assert pointers_of(topic_name=absent, email=absent, phone=absent) == ["#/topic_name", "#"]


def test_every_wrong_field_is_named_in_the_order_of_the_table() -> None:
    wrong = {
        "expires_at": "soon",
        "partition": -1,
        "key": 1,
        "phone": "0049",
        "email": "nobody",
        "customer_id": "\x00",
        "transaction_id": "x" * (TEXT_LIMIT + 1),
        "message_body": "x" * (BODY_LIMIT + 1),
        "topic_name": 7,
        "request_id": "a b",
        "colour": "red",
    }

    assert pointers_of(**wrong) == [
        "#/colour",
        "#/request_id",
        "#/topic_name",
        "#/message_body",
        "#/transaction_id",
        "#/customer_id",
        "#/email",
        "#/phone",
        "#/key",
        "#/partition",
        "#/expires_at",
    ]


def test_of_very_many_unknown_fields_the_first_hundred_are_named() -> None:
    errors = errors_of(**{f"x{number}": 1 for number in range(150)})

    assert [error.pointer for error in errors] == [*(f"#/x{number}" for number in range(100)), "#"]
    assert errors[-1].detail == "has 50 more unknown fields"


@pytest.mark.parametrize("name", [*TEXTS, "request_id", "topic_name", "email", "phone", "expires_at"])
@pytest.mark.parametrize("value", [1, 1.5, True, ["a"], {"a": 1}])
def test_a_text_field_takes_no_other_type(name: str, value: object) -> None:
    assert pointers_of(**{name: value}) == [f"#/{name}"]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("message_body", BODY_LIMIT),
        ("transaction_id", TEXT_LIMIT),
        ("customer_id", TEXT_LIMIT),
        ("key", TEXT_LIMIT),
    ],
)
def test_a_text_is_counted_in_characters(name: str, limit: int) -> None:
    assert pointers_of(**{name: "ü" * limit}) == []
    assert errors_of(**{name: "ü" * (limit + 1)}) == [
        FieldError(f"#/{name}", f"must have at most {limit} characters")
    ]


CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]


@pytest.mark.parametrize(
    "name", ["topic_name", "transaction_id", "customer_id", "key", "email", "request_id"]
)
def test_no_field_takes_a_control_character(name: str) -> None:
    found = {code: pointers_of(**{name: f"a{chr(code)}b@example.com"}) for code in CONTROLS}

    assert found == {code: [f"#/{name}"] for code in CONTROLS}


def test_a_body_takes_no_control_character_but_newline_and_tab() -> None:
    taken = [chr(code) for code in CONTROLS if not pointers_of(message_body=f"a{chr(code)}b")]

    assert taken == ["\t", "\n"]


def test_a_body_takes_newline_and_tab() -> None:
    assert pointers_of(message_body="a\n\tb") == []


@pytest.mark.parametrize("name", [*TEXTS, "topic_name", "email", "phone", "request_id"])
def test_a_newline_at_the_end_is_not_overlooked(name: str) -> None:
    fields = {"message_body": "a\r", "email": "a@b.c\n", "phone": "+15551234567\n"}

    assert pointers_of(**{name: fields.get(name, "a\n")}) == [f"#/{name}"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_lone_surrogate_is_not_text(name: str) -> None:
    assert errors_of(**{name: "a\ud800"}) == [FieldError(f"#/{name}", "must be valid Unicode")]


@pytest.mark.parametrize("request_id", ["a", "A-z_0.9:", "x" * 128])
def test_a_request_id_may_have_1_to_128_plain_characters(request_id: str) -> None:
    assert pointers_of(request_id=request_id) == []


@pytest.mark.parametrize("request_id", ["x" * 129, "a/b", "a b", "ä", "a\n", "<>"])
def test_another_request_id_is_refused(request_id: str) -> None:
    assert pointers_of(request_id=request_id) == ["#/request_id"]


@pytest.mark.parametrize("phone", ["+1234567", "+123456789012345"])
def test_a_phone_number_has_7_to_15_digits(phone: str) -> None:
    assert pointers_of(phone=phone) == []


@pytest.mark.parametrize(
    "phone",
    ["15551234567", "+05551234567", "+123456", "+1234567890123456", "+1 555 1234567", "+١٢٣٤٥٦٧٨", "+"],
)
def test_another_phone_number_is_refused(phone: str) -> None:
    assert pointers_of(phone=phone) == ["#/phone"]


@pytest.mark.parametrize(
    "email",
    [
        "a@b.c",
        "first.last+tag@mail.example.co.uk",
        "o'brien@example.com",
        "a@1-2.example",
        "x@herald.test",
        "x@mail.localhost",
        f"a@{'b' * 63}.example",
    ],
)
def test_a_plain_address_is_settled_without_asking_further(email: str) -> None:
    assert pointers_of(email=email) == []


@pytest.mark.parametrize(
    "email",
    [
        "nobody",
        "@example.com",
        "a@",
        "a@b",
        "a@@b.c",
        "a@b..c",
        ".a@b.c",
        "a.@b.c",
        "a..b@c.d",
        "a@-b.c",
        "a@b-.c",
        "a@b.c.",
        "a b@c.d",
        '"a b"@c.d',
        "a@[127.0.0.1]",
        "<a@b.c>",
        "a@b.c,d@e.f",
        f"a@{'b' * 64}.example",
        "ä@example.com",
    ],
)
def test_every_other_address_is_asked_about(email: str) -> None:
    assert errors_of(email=email) == [FieldError("#/email", "must be a mail address")]
    assert wrong_fields({**RIGHT, "email": email}, no_fault) == []


def test_an_address_has_at_most_254_characters() -> None:
    longest = "a" * (EMAIL_LIMIT - len("@example.com")) + "@example.com"

    assert pointers_of(email=longest) == []
    assert errors_of(email="a" + longest) == [FieldError("#/email", "must have at most 254 characters")]


@pytest.mark.parametrize("partition", [0, 5, 10**30])
def test_a_partition_is_a_whole_number_from_0(partition: int) -> None:
    assert pointers_of(partition=partition) == []


@pytest.mark.parametrize("partition", [-1, 1.0, True, "1", [1]])
def test_another_partition_is_refused(partition: object) -> None:
    assert pointers_of(partition=partition) == ["#/partition"]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31t12:00:00z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31T12:00:00.5+02:00", datetime(2030, 1, 31, 10, 0, 0, 500_000, UTC)),
        ("2030-01-31T12:00:00.123456789Z", datetime(2030, 1, 31, 12, 0, 0, 123_456, UTC)),
        (
            "2030-01-31T12:00:00-23:59",
            datetime(2030, 1, 31, 12, tzinfo=timezone(-timedelta(hours=23, minutes=59))),
        ),
        ("2030-01-31T12:00:00-00:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2028-02-29T00:00:00Z", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_time_of_rfc_3339_is_read(text: str, time: datetime) -> None:
    assert parse_time(text) == time
    assert pointers_of(expires_at=text) == []


@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31",
        "2030-01-31T12:00:00",
        "2030-01-31 12:00:00Z",
        "2030-01-31T12:00Z",
        "2030-02-30T12:00:00Z",
        "2029-02-29T12:00:00Z",
        "2030-13-01T12:00:00Z",
        "2030-01-31T24:00:00Z",
        "2030-01-31T12:60:00Z",
        "2030-01-31T12:00:61Z",
        "2030-01-31T12:00:00.Z",
        "2030-01-31T12:00:00+24:00",
        "2030-01-31T12:00:00+02:60",
        "2030-01-31T12:00:00+0200",
        "2030-01-31T12:00:00Z\n",
        "0000-01-01T00:00:00Z",
        "٢٠٣٠-01-31T12:00:00Z",
        "20300131T120000Z",
        "soon",
    ],
)
def test_another_time_is_refused(text: str) -> None:
    assert parse_time(text) is None
    assert pointers_of(expires_at=text) == ["#/expires_at"]


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("email", "#/email"),
        ("a/b", "#/a~1b"),
        ("a~b", "#/a~0b"),
        ("ä b", "#/%C3%A4%20b"),
        ("", "#/"),
        ("\ud800", "#/%3F"),
        ("x" * 1000, "#/" + "x" * 64),
    ],
)
def test_a_pointer_is_a_uri_fragment_and_never_long(name: str, pointer: str) -> None:
    assert pointer_to(name) == pointer
