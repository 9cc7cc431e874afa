"""The settings for people to read: those in force, and the reference page.

`python -m entrypoints.settings_reference > docs/reference/settings.md` writes the page anew.
"""

import json
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from entrypoints.settings import Loaded, value_of
from entrypoints.settings_model import Settings
from entrypoints.settings_sources import TOPICS, known_fields
from entrypoints.settings_topics import TopicSettings

HIDDEN = "***"
_HEAD = """\
# Settings

Order: `--set section.field=value`, then the environment (`HERALD_SECTION__FIELD`), then the TOML file
(`--config`, else `HERALD_CONFIG`, else `./herald.toml` where it exists), then the defaults below.

- Any field may be read from a file: `HERALD_SMTP__PASSWORD_FILE=/run/secrets/smtp`. One line break at the
  file's end is not part of the value.
- `HERALD_TOPICS` and `--set topics=` hold all topics as a JSON array and replace the file's.
- A name that is not below, or a bad value, stops the start with every mistake in one message. Names in
  the environment with one underscore (`HERALD_PORT`) are nobody's business: Kubernetes sets such.
- `herald config show` prints what is in force and where it came from, `herald config check` the mistakes.
"""


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """A setting in force. A secret that is set is stars, one that is not is empty."""

    name: str
    value: object
    origin: str
    description: str


def settings_in_force(loaded: Loaded) -> Iterator[ShownSetting]:
    """Every setting, of topics each field, in the order of the reference."""
    for name, field in known_fields().items():
        if name != TOPICS:
            value = _shown(value_of(loaded.settings, name))
            yield ShownSetting(name, value, loaded.origins[name], field.description or "")
    for number, topic in enumerate(loaded.settings.topics):
        for name, field in TopicSettings.model_fields.items():
            value = _shown(getattr(topic, name))
            origin = loaded.origins[TOPICS]
            yield ShownSetting(f"{TOPICS}.{number}.{name}", value, origin, field.description or "")


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return HIDDEN if value.get_secret_value() else ""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def reference() -> str:
    """The reference page, in Markdown."""
    defaults = Settings()
    parts = [_HEAD]
    for section in Settings.model_fields:
        if section != TOPICS:
            model = getattr(defaults, section)
            parts.append(_table(f"[{section}]", type(model), model))
    parts.append(_table("[[topics]]", TopicSettings, defaults.topics[0]))
    return "\n".join(parts)


def _table(title: str, model: type[BaseModel], defaults: BaseModel) -> str:
    rows = [
        f"| `{name}` | `{_literal(getattr(defaults, name))}` | {_meaning(field)} |"
        for name, field in model.model_fields.items()
    ]
    about = model.__doc__ or ""
    return "\n".join([f"## {title}", "", about, "", "| field | default | |", "|---|---|---|", *rows, ""])


def _meaning(field: FieldInfo) -> str:
    choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is Literal else ()
    listed = ", ".join(f"`{choice}`" for choice in choices if choice)
    return f"{field.description}: {listed}" if listed else f"{field.description}"


def _literal(value: object) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return json.dumps(_shown(value), ensure_ascii=False)


if __name__ == "__main__":
    sys.stdout.write(reference())
