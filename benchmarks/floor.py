"""What any server in Python has to do, run by plain uvicorn: read the body, decode it, encode an answer.

`uvicorn benchmarks.floor:app`; uvicorn's own protocol class, no broker, nothing of Herald's.
"""

from typing import Any

import msgspec

_HEADERS = [(b"content-type", b"application/json")]
_BATCH = "/api/v1/produce/batch"
_ID = "01a205a2-c7b3-7470-98e9-9855c86a05a2"


class _Body(msgspec.Struct, gc=False):
    topic_name: str
    request_id: str | None = None
    message_body: str | None = None
    transaction_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    key: str | None = None
    partition: int | None = None
    expires_at: str | None = None


class _Answer(msgspec.Struct, gc=False):
    request_id: str
    topic_name: str
    partition: int
    offset: int


class _Batch(msgspec.Struct, gc=False):
    accepted: int
    rejected: int
    results: list[_Answer]


_decoder = msgspec.json.Decoder(_Body)
_encode = msgspec.json.Encoder().encode


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["method"] == "POST":
        await _say(202, _answer(scope["path"], await _body(receive)), send)
    else:
        await _say(200, b"{}", send)


async def _body(receive: Any) -> bytes:
    body = bytearray()
    while True:
        event = await receive()
        body += event["body"]
        if not event["more_body"]:
            return bytes(body)


def _answer(path: str, body: bytes) -> bytes:
    if path != _BATCH:
        return _encode(_Answer(_ID, _decoder.decode(body).topic_name, 3, 42))
    results = [_Answer(_ID, one.topic_name, 3, 42) for one in _decoder.decode_lines(body)]
    return _encode(_Batch(len(results), 0, results))


async def _say(status: int, answer: bytes, send: Any) -> None:
    headers = [*_HEADERS, (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _lifespan(receive: Any, send: Any) -> None:
    for _ in range(2):
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
