"""What must not get in: each case with its status and its problem, and nothing in the log.

Every case runs over the hot path and over the Litestar route.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api_parts import VALID, MemoryApi, pieces, shared_api

JSON = {"content-type": "application/json"}
LONG = "x" * 257


@pytest.fixture(params=[True, False], ids=["hot path", "Litestar route"])
def api(request: pytest.FixtureRequest) -> MemoryApi:
    return shared_api(hot=request.param)


def having(**fields: object) -> bytes:
    return json.dumps({**VALID, **fields}).encode()


def without(*names: str) -> bytes:
    return json.dumps({name: value for name, value in VALID.items() if name not in names}).encode()


NOT_JSON = {
    "empty": b"",
    "blanks": b" \r\n\t",
    "a word": b"hello",
    "a form": b"topic_name=transactions&email=a%40b.c",
    "XML": b"<message/>",
    "cut off": having()[:-1],
    "something after it": having() + b"x",
    "two objects": having() + having(),
    "NDJSON": having() + b"\n" + having(),
    "a byte order mark": b"\xef\xbb\xbf" + having(),
    "UTF-16": having().decode().encode("utf-16"),
    "Latin-1": b'{"topic_name":"transactions","email":"a@b.c","message_body":"\xfc"}',
    "an encoded surrogate": b'{"topic_name":"transactions","email":"a@b.c","key":"\xed\xa0\x80"}',
    "a lone surrogate": b'{"topic_name":"transactions","email":"a@b.c","key":"\\ud800"}',
    "a swapped surrogate pair": b'{"topic_name":"transactions","email":"a@b.c","key":"\\udc00\\ud800"}',
    "a raw newline": b'{"topic_name":"transactions","email":"a@b.c","message_body":"a\nb"}',
    "a raw null": b'{"topic_name":"transactions","email":"a@b.c","message_body":"a\x00b"}',
    "NaN": b'{"topic_name":"transactions","email":"a@b.c","partition":NaN}',
    "Infinity": b'{"topic_name":"transactions","email":"a@b.c","partition":Infinity}',
    "a leading zero": b'{"topic_name":"transactions","email":"a@b.c","partition":01}',
    "hexadecimal": b'{"topic_name":"transactions","email":"a@b.c","partition":0x1}',
    "a comma too many": b'{"topic_name":"transactions","email":"a@b.c",}',
    "single quotes": b"{'topic_name':'transactions'}",
    "a comment": b'{"topic_name":"transactions" /* which */}',
    "deep arrays": b'{"x":' + b"[" * 30_000,
    "deep objects": b'{"x":' * 10_000,
    "nulls only": b"\x00" * 100,
    "a bad escape": b'{"topic_name":"\\x41"}',
}

INVALID: dict[str, tuple[bytes, list[str]]] = {
    "null": (b"null", ["#"]),
    "true": (b"true", ["#"]),
    "a number": (b"1", ["#"]),
    "a string": (b'"transactions"', ["#"]),
    "an array": (b"[" + having() + b"]", ["#"]),
    "nothing in it": (b"{}", ["#/topic_name", "#"]),
    "no topic": (without("topic_name"), ["#/topic_name"]),
    "an empty topic": (having(topic_name=""), ["#/topic_name"]),
    "a null topic": (having(topic_name=None), ["#/topic_name"]),
    "a number as topic": (having(topic_name=7), ["#/topic_name"]),
    "a topic with a newline": (having(topic_name="transactions\n"), ["#/topic_name"]),
    "no address": (without("email", "phone"), ["#"]),
    "empty addresses": (having(email="", phone=""), ["#"]),
    "null addresses": (having(email=None, phone=None), ["#"]),
    "an unknown field": (having(colour="red"), ["#/colour"]),
    "a field in another case": (having(Email="a@b.c"), ["#/Email"]),
    "an unknown field without a value": (having(colour=None), ["#/colour"]),
    "an unknown field with a null character": (having(**{"a\x00b": 1}), ["#/a%00b"]),
    "a field of no name": (having(**{"": 1}), ["#/"]),
    "a prototype": (having(__proto__={"email": "a@b.c"}), ["#/__proto__"]),
    "a body too long": (having(message_body="x" * 10_001), ["#/message_body"]),
    "a body with a null": (having(message_body="\x00"), ["#/message_body"]),
    "a body with a carriage return": (having(message_body="a\r\nBcc: b@c.d"), ["#/message_body"]),
    "a body with an escape code": (having(message_body="\x1b[31m"), ["#/message_body"]),
    "a body with C1": (having(message_body="\x85"), ["#/message_body"]),
    "a body with a raw DEL": (having(message_body="DEL").replace(b"DEL", b"\x7f"), ["#/message_body"]),
    "a number as body": (having(message_body=1), ["#/message_body"]),
    "an object as body": (having(message_body={"a": 1}), ["#/message_body"]),
    "a transaction id too long": (having(transaction_id=LONG), ["#/transaction_id"]),
    "a transaction id with a newline": (having(transaction_id="a\nSubject: b"), ["#/transaction_id"]),
    "a customer id too long": (having(customer_id=LONG), ["#/customer_id"]),
    "false as customer id": (having(customer_id=False), ["#/customer_id"]),
    "an array as customer id": (having(customer_id=["C"]), ["#/customer_id"]),
    "a key too long": (having(key=LONG), ["#/key"]),
    "a key with a tab": (having(key="a\tb"), ["#/key"]),
    "a number as key": (having(key=1), ["#/key"]),
    "an address without @": (having(email="ada"), ["#/email"]),
    "an address without a dot": (having(email="ada@localhost"), ["#/email"]),
    "two addresses": (having(email="a@b.c, d@e.f"), ["#/email"]),
    "an address with a name": (having(email="Ada <a@b.c>"), ["#/email"]),
    "a quoted address": (having(email='"a b"@c.d'), ["#/email"]),
    "an address literal": (having(email="a@[127.0.0.1]"), ["#/email"]),
    "a header in the address": (having(email="a@b.c\r\nBcc: d@e.f"), ["#/email"]),
    "an address too long": (having(email="a" * 250 + "@b.cd"), ["#/email"]),
    "an address with a right-to-left mark": (having(email="a\u202e@b.c"), ["#/email"]),
    "a number as address": (having(email=1), ["#/email"]),
    "a phone without +": (having(phone="15551234567"), ["#/phone"]),
    "a phone with blanks": (having(phone="+1 555 123 4567"), ["#/phone"]),
    "a phone that begins with 0": (having(phone="+0123456789"), ["#/phone"]),
    "a short phone": (having(phone="+123456"), ["#/phone"]),
    "a long phone": (having(phone="+1234567890123456"), ["#/phone"]),
    "a phone with a newline": (having(phone="+15551234567\n"), ["#/phone"]),
    "other digits": (having(phone="+\uff11\uff12\uff13\uff14\uff15\uff16\uff17"), ["#/phone"]),
    "a number as phone": (having(phone=15551234567), ["#/phone"]),
    "an id with a slash": (having(request_id="a/b"), ["#/request_id"]),
    "an id with a newline": (having(request_id="a\n"), ["#/request_id"]),
    "an id too long": (having(request_id="x" * 129), ["#/request_id"]),
    "an id in Cyrillic": (having(request_id="ж"), ["#/request_id"]),
    "a number as id": (having(request_id=1), ["#/request_id"]),
    "a negative partition": (having(partition=-1), ["#/partition"]),
    "a partition that the topic has not": (having(partition=6), ["#/partition"]),
    "a huge partition": (having(partition=10**100), ["#/partition"]),
    "a partition beyond all bounds": (having(partition=0)[:-2] + b"9" * 5000 + b"}", ["#"]),
    "an endless fraction": (having(partition=0)[:-2] + b"1e999}", ["#"]),
    "half a partition": (having(partition=1.5), ["#/partition"]),
    "a partition as float": (having(partition=1.0), ["#/partition"]),
    "a partition as text": (having(partition="1"), ["#/partition"]),
    "true as partition": (having(partition=True), ["#/partition"]),
    "an end without a zone": (having(expires_at="2030-01-31T12:00:00"), ["#/expires_at"]),
    "an end as number": (having(expires_at=1_900_000_000), ["#/expires_at"]),
    "an impossible end": (having(expires_at="2030-02-30T12:00:00Z"), ["#/expires_at"]),
    "several at once": (
        having(email="x", phone="y", partition=99, key=1, extra=2),
        ["#/extra", "#/email", "#/phone", "#/key", "#/partition"],
    ),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_not_json_is_refused(api: MemoryApi, body: bytes) -> None:
    response = await api.post(body)

    assert_problem(response.json(), 400, "not-json")
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, api.records()) == (400, [])


@pytest.mark.parametrize(("body", "pointers"), INVALID.values(), ids=INVALID)
async def test_what_is_no_message_is_refused_with_every_wrong_field(
    api: MemoryApi, body: bytes, pointers: list[str]
) -> None:
    response = await api.post(body)

    assert_problem(response.json(), 400, "invalid-message")
    assert [error["pointer"] for error in response.json()["errors"]] == pointers
    assert (response.status_code, api.records()) == (400, [])


@pytest.mark.parametrize(
    "topic", ["payments", "Transactions", "transactions ", "../transactions", "transactions.email"]
)
async def test_an_unknown_topic_is_refused(api: MemoryApi, topic: str) -> None:
    response = await api.post(having(topic_name=topic))

    assert_problem(response.json(), 404, "unknown-topic")
    assert (response.status_code, api.records()) == (404, [])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": ""},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/x-ndjson"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/vnd.api+json"},
        {"content-type": ";application/json"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
    ids=str,
)
async def test_another_media_type_is_refused(api: MemoryApi, headers: Mapping[str, str]) -> None:
    response = await api.ask("POST", "/api/v1/produce", having(), headers)

    assert_problem(response.json(), 415, "unsupported-media-type")
    assert (response.status_code, api.records()) == (415, [])


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/json ;x=y", "application/json;"],
)
async def test_parameters_and_case_of_the_media_type_do_not_matter(api: MemoryApi, content_type: str) -> None:
    response = await api.post(having(), content_type)

    assert response.status_code == 202


async def test_a_body_as_long_as_is_allowed_is_read(api: MemoryApi) -> None:
    body = having() + b" " * (65_536 - len(having()))

    assert (await api.post(body)).status_code == 202
    assert (await api.post(body + b" ")).status_code == 413


async def test_a_declared_length_beyond_the_limit_is_refused_before_reading(api: MemoryApi) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"65537")]
    status, _, body = await api.raw([], headers)

    assert_problem(json.loads(body), 413, "body-too-large")
    assert status == 413


async def test_a_chunked_body_is_read_no_further_than_its_limit(api: MemoryApi) -> None:
    chunk = b" " * 40_000
    events = [{"type": "http.request", "body": chunk, "more_body": True} for _ in range(2)]
    status, _, body = await api.raw(events, [(b"content-type", b"application/json")])

    assert_problem(json.loads(body), 413, "body-too-large")
    assert status == 413


@pytest.mark.parametrize("length", [b"-1", b"abc", b"", b"1.5", b"1e9", b"\xff", b"+5", b" "])
async def test_a_length_that_is_no_number_is_passed_over(api: MemoryApi, length: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    status, _, _ = await api.raw(pieces(having()), headers)

    assert status == 202


async def test_a_length_of_thousands_of_digits_is_refused(api: MemoryApi) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"9" * 5000)]
    status, _, _ = await api.raw(pieces(having()), headers)

    assert status == 413


async def test_a_body_in_many_parts_is_put_together(api: MemoryApi) -> None:
    parts = [bytes([byte]) for byte in having()]
    status, _, _ = await api.raw(pieces(*parts, b""), [(b"content-type", b"application/json")])

    assert (status, len(api.records())) == (202, 1)


async def test_of_a_client_that_hangs_up_nothing_is_taken(api: MemoryApi) -> None:
    events = [{"type": "http.request", "body": having(), "more_body": True}]
    status, _, _ = await api.raw(events, [(b"content-type", b"application/json")])

    assert (status, api.records()) == (400, [])


async def test_header_bytes_beyond_ascii_do_no_harm(api: MemoryApi) -> None:
    headers = [(b"content-type", b"application/json"), (b"traceparent", b"\xff\xfe"), (b"x", b"\x80")]
    status, _, _ = await api.raw(pieces(having()), headers)

    assert status == 202
    assert dict(api.records()[0].headers) == {"content-type": b"application/json"}


async def test_the_query_does_not_matter(api: MemoryApi) -> None:
    response = await api.ask("POST", "/api/v1/produce?topic_name=x&%ff", having(), JSON)

    assert response.status_code == 202


BATCHES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "not-json"),
    "cut off": (b"[" + having(), 400, "not-json"),
    "a broken item": (b"[" + having() + b",{]", 400, "not-json"),
    "deep": (b"[" * 100_000, 400, "not-json"),
    "a byte order mark": (b"\xef\xbb\xbf[]", 400, "not-json"),
    "NDJSON": (having() + b"\n" + having(), 400, "invalid-message"),
    "an empty array": (b"[]", 400, "invalid-message"),
    "an object": (having(), 400, "invalid-message"),
    "a string": (b'"x"', 400, "invalid-message"),
    "null": (b"null", 400, "invalid-message"),
    "too many": (b"[" + b",".join([b"{}"] * 10_001) + b"]", 413, "body-too-large"),
    "too many numbers": (b"[" + b",".join([b"1"] * 10_001) + b"]", 413, "body-too-large"),
    "very many numbers": (b"[" + b",".join([b"1"] * 2_000_000) + b"]", 413, "body-too-large"),
    "too long": (b" " * 8_388_609, 413, "body-too-large"),
}


@pytest.mark.parametrize(("body", "status", "name"), BATCHES.values(), ids=BATCHES)
async def test_what_is_no_batch_is_refused_as_a_whole(
    api: MemoryApi, body: bytes, status: int, name: str
) -> None:
    response = await api.post_batch_body(body)

    assert_problem(response.json(), status, name)
    assert (response.status_code, api.records()) == (status, [])


@pytest.mark.parametrize("body", [b"", b"\n\n", b" \r\n\t\n"])
async def test_ndjson_without_a_message_is_refused(api: MemoryApi, body: bytes) -> None:
    response = await api.post_batch_body(body, "application/x-ndjson")

    assert_problem(response.json(), 400, "invalid-message")


async def test_too_many_lines_are_refused(api: MemoryApi) -> None:
    response = await api.post_batch_body(b"{}\n" * 10_001, "application/x-ndjson")

    assert_problem(response.json(), 413, "body-too-large")


async def test_a_batch_of_another_media_type_is_refused(api: MemoryApi) -> None:
    response = await api.post_batch_body(b"[]", "text/csv")

    assert_problem(response.json(), 415, "unsupported-media-type")


async def test_what_is_refused_alone_is_refused_as_a_line_too(api: MemoryApi) -> None:
    bodies = [*NOT_JSON.values(), *(body for body, _ in INVALID.values())]
    lines = [body for body in bodies if b"\n" not in body and body]
    response = await api.post_batch_body(b"\n".join(lines), "application/x-ndjson")

    assert (response.status_code, api.records()) == (400, [])
    assert (response.json()["accepted"], response.json()["rejected"]) == (0, len(lines))
    assert {result["error"]["status"] for result in response.json()["results"]} == {400}


@given(st.binary(max_size=80))
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_bytes_make_either_way_fail(body: bytes) -> None:
    answers = [await api.post(body) for api in (shared_api(hot=True), shared_api(hot=False))]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].content == answers[1].content


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.sampled_from(sorted(VALID)), ANY_JSON)
@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
async def test_either_way_gives_the_same_answer_whatever_a_field_holds(name: str, value: Any) -> None:
    body = json.dumps({**VALID, "request_id": "r", "partition": 0, name: value}).encode()
    answers = [await api.post(body) for api in (shared_api(hot=True), shared_api(hot=False))]

    assert {answer.status_code for answer in answers} <= {202, 400, 404}
    assert answers[0].content == answers[1].content


def assert_problem(problem: dict[str, Any], status: int, name: str) -> None:
    assert problem["type"] == f"urn:herald:problem:{name}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
