"""The JSON schemas of a message's story."""

from typing import Any

from domain.status import StoryEvent

Json = dict[str, Any]

_COUNT: Json = {"type": "integer", "minimum": 0}
_TEXT: Json = {"type": ["string", "null"]}


def message_story(status: Json) -> Json:
    """`status`: the schema of a message's status, which is told first."""
    steps = {
        "type": "array",
        "description": "Oldest first.",
        "items": {"$ref": "#/components/schemas/StoryStep"},
    }
    return {
        **status,
        "properties": {**status["properties"], "story": steps},
        "required": [*status["required"], "story"],
    }


def story_step() -> Json:
    """One thing that happened to a message."""
    properties: Json = {
        "at": {"type": "string", "format": "date-time"},
        "group": {**_TEXT, "description": "null: it is all groups'."},
        "event": {"type": "string", "enum": [event.value for event in StoryEvent]},
        "attempts": {**_COUNT, "description": "With this one."},
        "uncertain_attempts": {**_COUNT, "description": "Tries whose answer was lost, with this one."},
        "reason": _TEXT,
        "provider_id": _TEXT,
        "due_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When one that is put off is tried again; null: behind an earlier one of its key.",
        },
        "dead_letter": {**_TEXT, "description": "Its id, for `/api/v1/dead-letters/{letter_id}`."},
    }
    return {"type": "object", "properties": properties, "required": list(properties)}
