"""Messages as JSON: from a request's body, into the log's record, and out of it again.

A strict msgspec decoder takes the requests that are right. Whatever it does not take is looked at field
by field with `domain.message.wrong_fields`, which alone decides what is wrong. Of a key that stands
twice in an object the last value counts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from domain.dead_letter import given_id, id_without_message, own_id
from domain.log import Record
from domain.message import (
    BODY_LIMIT,
    NO_CONTROLS,
    NO_CONTROLS_BUT_LINES,
    PHONE,
    PLAIN_EMAIL,
    REQUEST_ID,
    TEXT_LIMIT,
    AddressFault,
    FieldError,
    Message,
    ProduceRequest,
    is_absent,
    parse_time,
    wrong_fields,
)

_BETWEEN_OBJECTS = b"}\n{"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
DECODE_ERRORS: tuple[type[Exception], ...] = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_is_request_id = re.compile(REQUEST_ID).match


@dataclass(frozen=True, slots=True)
class NotJson:
    """Not one JSON text in UTF-8 (RFC 8259). `detail` shows nothing of it."""

    detail: str


@dataclass(frozen=True, slots=True)
class WrongFields:
    """JSON, but not a message. The other fields are those that were given and usable."""

    errors: tuple[FieldError, ...]
    request_id: str | None = None
    topic_name: str | None = None
    partition: int | None = None


def _or_empty(pattern: str) -> Meta:
    return Meta(pattern=rf"^\Z|{pattern}")


_Name = Annotated[str, Meta(pattern=NO_CONTROLS, max_length=TEXT_LIMIT)]


class _Request(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The rules of `domain.message` as far as msgspec can say them; `""` is let through as absent.

    Once its id is there, and its partition is not, it is what the log keeps: its fields stand in the order of
    `_Stored`, for the digests that tell a repeated request from another one are taken of the bytes.
    """

    request_id: Annotated[str, _or_empty(REQUEST_ID)] | None = None
    topic_name: Annotated[str, Meta(pattern=NO_CONTROLS, min_length=1)]
    message_body: Annotated[str, Meta(pattern=NO_CONTROLS_BUT_LINES, max_length=BODY_LIMIT)] | None = None
    transaction_id: _Name | None = None
    customer_id: _Name | None = None
    email: Annotated[str, _or_empty(PLAIN_EMAIL)] | None = None
    phone: Annotated[str, _or_empty(PHONE)] | None = None
    key: _Name | None = None
    expires_at: str | None = None
    partition: Annotated[int, Meta(ge=0)] | None = None


class _PlainRequest(_Request, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The same for a text that has no way to write a control character: five patterns less to match."""

    topic_name: Annotated[str, Meta(min_length=1)]
    message_body: Annotated[str, Meta(max_length=BODY_LIMIT)] | None = None
    transaction_id: Annotated[str, Meta(max_length=TEXT_LIMIT)] | None = None
    customer_id: Annotated[str, Meta(max_length=TEXT_LIMIT)] | None = None
    key: Annotated[str, Meta(max_length=TEXT_LIMIT)] | None = None


class _Stored(msgspec.Struct, omit_defaults=True, gc=False):
    """The record's value. Fields of newer writers are passed over."""

    request_id: str | None = None
    topic_name: str | None = None
    message_body: str | None = None
    transaction_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    key: str | None = None
    expires_at: str | None = None


_request_decoder = msgspec.json.Decoder(_Request)
_plain_request_decoder = msgspec.json.Decoder(_PlainRequest)
_stored_decoder = msgspec.json.Decoder(_Stored)
_encoder = msgspec.json.Encoder()


class RequestDecoder:
    """Reads one object of the produce API.

    `new_request_id` is asked when a right message has none.
    """

    def __init__(self, address_fault: AddressFault, new_request_id: Callable[[], str]) -> None:
        self._address_fault = address_fault
        self._new_request_id = new_request_id

    def __call__(self, body: bytes) -> ProduceRequest | WrongFields | NotJson:
        """The message, or every mistake in it."""
        decoder = _plain_request_decoder if _is_plain(body) else _request_decoder
        try:
            wire = decoder.decode(body)
        except DECODE_ERRORS:
            return self.carefully(body)
        if b'""' in body:
            _drop_empty(wire)
        return self._taken(wire) or self.carefully(body)

    def many(self, objects: Sequence[bytes]) -> list[ProduceRequest] | None:
        """The messages in so many texts, cheaper together; None where one has to be looked at alone.

        Each text has no line break, or is known to be one JSON text.
        """
        text = b"\n".join(objects)
        # In one JSON text an object is never followed by another one on the next line: so the texts are not
        # cut or joined anew, and each of them is one object.
        if text.count(_BETWEEN_OBJECTS) != len(objects) - 1:
            return None
        decoder = _plain_request_decoder if _is_plain(text) else _request_decoder
        try:
            wires = decoder.decode_lines(text)
        except DECODE_ERRORS:
            return None
        if b'""' in text:
            for wire in wires:
                _drop_empty(wire)
        requests = [request for wire in wires if (request := self._taken(wire))]
        return requests if len(requests) == len(objects) else None

    def _taken(self, wire: _Request) -> ProduceRequest | None:
        """None for what a decoder's rules cannot see."""
        if not (wire.email or wire.phone) or (wire.expires_at and parse_time(wire.expires_at) is None):
            return None
        has_own_id = wire.request_id is not None
        request_id = wire.request_id = wire.request_id or self._new_request_id()
        partition, wire.partition = wire.partition, None
        return ProduceRequest(
            request_id, wire.topic_name, wire.key, partition, _encoder.encode(wire), has_own_id
        )

    def carefully(self, body: bytes) -> ProduceRequest | WrongFields | NotJson:
        """The same answer without the shortcut: slower, and the authority."""
        try:
            fields = msgspec.json.decode(body)
        except msgspec.ValidationError:
            return WrongFields((FieldError("#", "has a number that is out of range"),))
        except DECODE_ERRORS as error:
            return NotJson(what_is_wrong(body, error))
        if not isinstance(fields, dict):
            return WrongFields((FieldError("#", "must be an object"),))
        if errors := wrong_fields(fields, self._address_fault):
            return _refused(tuple(errors), fields)
        given = {name: value for name, value in fields.items() if not is_absent(value)}
        partition = given.pop("partition", None)
        has_own_id = "request_id" in given
        if not has_own_id:
            given["request_id"] = self._new_request_id()
        return request_of(Message(**given), partition, has_own_id=has_own_id)


def request_of(message: Message, partition: int | None = None, *, has_own_id: bool = True) -> ProduceRequest:
    """The request to produce a message that is right."""
    return ProduceRequest(
        message.request_id, message.topic_name, message.key, partition, encode(message), has_own_id
    )


def _drop_empty(wire: _Request) -> None:
    """What is given as `""` is absent."""
    for name in wire.__struct_fields__:
        if getattr(wire, name) == "":
            setattr(wire, name, None)


def _is_plain(body: bytes) -> bool:
    """No control character within a string: JSON has C0 as escapes only, C1 is not ASCII."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def what_is_wrong(body: bytes, error: Exception) -> str:
    """In a few words, with nothing of the body, why decoding it raised one of `DECODE_ERRORS`."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not body.strip():
        return "it is empty"
    return "it begins with a byte order mark" if body.startswith(_BYTE_ORDER_MARK) else str(error)


def _refused(errors: tuple[FieldError, ...], fields: Mapping[str, object]) -> WrongFields:
    wrong = {error.pointer for error in errors}
    usable = {name: value for name, value in fields.items() if f"#/{name}" not in wrong}
    return WrongFields(
        errors,
        request_id=_text(usable.get("request_id")),
        topic_name=_text(usable.get("topic_name")),
        partition=partition if isinstance(partition := usable.get("partition"), int) else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def encode(message: Message) -> bytes:
    """The record's value: a JSON object of the fields that are there."""
    return _encoder.encode(
        _Stored(
            message.request_id,
            message.topic_name,
            message.message_body,
            message.transaction_id,
            message.customer_id,
            message.email,
            message.phone,
            message.key,
            message.expires_at,
        )
    )


def decode_record(record: Record) -> Message | str:
    """The message in a record of any producer, or what is wrong, with nothing of its content.

    The topic is the shard's. The id of a record that was put back holds before the one in its value; a
    record without any gets `{topic}-{partition}-{offset}`.
    """
    value = record.value
    if value is None:
        return "the record has no value"
    try:
        stored = _stored_decoder.decode(value)
    except DECODE_ERRORS as error:
        return f"the record is not a message: {what_is_wrong(value, error)}"
    request_id = given_id(record) or stored.request_id
    if request_id and not _is_request_id(request_id):
        return "the record is not a message: request_id must be 1 to 128 of A-Z a-z 0-9 . _ : -"
    return Message(
        request_id=request_id or own_id(record),
        topic_name=record.shard.topic,
        message_body=stored.message_body or None,
        transaction_id=stored.transaction_id or None,
        customer_id=stored.customer_id or None,
        email=stored.email or None,
        phone=stored.phone or None,
        key=stored.key or None,
        expires_at=stored.expires_at or None,
    )


def request_id_of(record: Record) -> str:
    """The id of the message in a record, also of one that cannot be decoded."""
    message = decode_record(record)
    if isinstance(message, Message):
        return message.request_id
    return id_without_message(record)
