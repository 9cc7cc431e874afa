"""Dead letters as JSON objects: for everybody who may ask, and for the operator's own eyes."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from domain.dead_letter import KeptLetter, LetterPage
from domain.personal_data import mask_addresses


def dead_letters_answer(page: LetterPage) -> dict[str, Any]:
    """The JSON object that the API and `herald dead-letters list --json` give: no address, no body."""
    next_place = None if page.next is None else str(page.next)
    return {"dead_letters": [letter_object(kept) for kept in page.letters], "next": next_place}


def letter_object(kept: KeptLetter) -> dict[str, Any]:
    """One letter. A key that is an address, as some clients choose it, is hidden."""
    letter = kept.letter
    key = letter.record.key
    return {
        "id": kept.id,
        "group": letter.group,
        "topic": letter.record.shard.topic,
        "partition": letter.record.shard.partition,
        "offset": letter.record.offset,
        "request_id": kept.request_id,
        "key": None if key is None else mask_addresses(key.decode("utf-8", "replace")),
        "reason": letter.reason.value,
        "error": letter.error,
        "attempts": letter.attempts,
        "failed_at": _time(letter.failed_at),
        "replays": kept.replays,
    }


def whole_letter(kept: KeptLetter) -> dict[str, Any]:
    """Everything that is kept of a letter, addresses and body too: for who can read the log's own files.

    Bytes that are not UTF-8 are in base64, under the name with `_base64`.
    """
    record, replayed = kept.letter.record, kept.replayed
    return {
        **letter_object(kept),
        **_text("key", record.key),
        "parked": kept.is_parked,
        "replayed_at": None if replayed is None else _time(replayed.at),
        "replayed_by": None if replayed is None else replayed.by,
        "headers": [{"name": name, **_text("value", value)} for name, value in record.headers],
        **_text("value", record.value),
    }


def _text(name: str, raw: bytes | None) -> dict[str, str | None]:
    try:
        return {name: None if raw is None else raw.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(raw or b"").decode()}


def _time(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
