"""Where settings come from: `--set`, the environment, a TOML file. Each answers its values and mistakes."""

import difflib
import json
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic.fields import FieldInfo

from entrypoints.settings_model import Settings

if TYPE_CHECKING:
    from entrypoints.settings_types import Section

PREFIX = "HERALD_"
TOPICS = "topics"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as its source gave it, in the field's type as far as a text tells it."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong, where it was made, and the setting it is about (empty when it is about none)."""

    name: str
    origin: str
    fault: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.fault}"


@dataclass(slots=True)
class Source:
    """Values by dotted name ("smtp.host", "topics"), and what is wrong."""

    values: dict[str, Given] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def reject(self, name: str, origin: str, fault: str) -> None:
        self.mistakes.append(Mistake(name, origin, fault))


@cache
def known_fields() -> Mapping[str, FieldInfo]:
    """Every setting by its dotted name. The topics are one setting."""
    fields: dict[str, FieldInfo] = {}
    for section, info in Settings.model_fields.items():
        if section == TOPICS:
            fields[TOPICS] = info
        else:
            model = cast("type[Section]", info.annotation)
            fields |= {f"{section}.{name}": field for name, field in model.model_fields.items()}
    return fields


def from_file(path: Path, named_by: str) -> Source:
    """The tables of a TOML file. `named_by`: who named the file, for the line that says it is missing."""
    source = Source()
    try:
        tables = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        source.reject("", named_by, f"{path} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        source.reject("", str(path), "is not UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        source.reject("", str(path), f"is not TOML: {error}")
    else:
        for name, value in _flattened(tables):
            _accept(source, name, value, str(path))
    return source


def _flattened(tables: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for section, table in tables.items():
        if isinstance(table, dict) and section != TOPICS:
            yield from ((f"{section}.{name}", value) for name, value in table.items())
            if not table and section not in Settings.model_fields:
                yield section, table
        else:
            yield section, table


def _accept(source: Source, name: str, value: object, origin: str) -> None:
    if name in known_fields():
        source.values[name] = Given(value, origin)
    else:
        source.reject(name, origin, _unknown(name))


def _unknown(name: str, topics_by: str = "") -> str:
    """What is wrong with a name. `topics_by`: how this source gives the topics."""
    section = name.partition(".")[0]
    if section == TOPICS:
        return f"topics are given all at once: {topics_by} as a JSON array"
    if name in Settings.model_fields:
        return f"{name} must be a section with fields"
    if section in Settings.model_fields:
        close = difflib.get_close_matches(name, known_fields(), 1)
        what = f"{name} is not a setting"
    else:
        close = difflib.get_close_matches(section, Settings.model_fields, 1)
        what = f"{name}: there is no section {section}"
    return what + (f"; did you mean {close[0]}?" if close else "")


def from_assignments(assignments: Sequence[str]) -> Source:
    """`section.field=value`, each a text. Of two for one field the later counts."""
    source = Source()
    for assignment in assignments:
        name, is_assignment, text = assignment.partition("=")
        name = name.strip()
        if not is_assignment:
            source.reject(name, "--set", f"{name} has no value; write --set section.field=value")
        elif name not in known_fields():
            source.reject(name, "--set", _unknown(name, "--set topics=[…]"))
        else:
            _accept_text(source, name, text, "--set")
    return source


def from_environment(environ: Mapping[str, str], directory: Path) -> Source:
    """`HERALD_SECTION__FIELD`, `HERALD_TOPICS`, and both with `_FILE` behind. Other names are not ours.

    `directory`: what the path of a `_FILE` is relative to.
    """
    source = Source()
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or not _is_ours(variable):
            continue
        origin, text = f"environment {variable}", environ[variable]
        name, is_file = _setting_of(variable)
        if not variable.isupper():
            source.reject(name, origin, f"must be written {variable.upper()}")
        elif name not in known_fields():
            source.reject(name, origin, _unknown(name, "HERALD_TOPICS"))
        elif name in source.values:
            source.reject(name, origin, f"{name} is given by {source.values[name].origin} too")
        elif is_file:
            _accept_file(source, name, directory / text, origin)
        else:
            _accept_text(source, name, text, origin)
    return source


def _is_ours(variable: str) -> bool:
    """Kubernetes sets `HERALD_PORT` and the like for a service of that name: one underscore is no setting."""
    return "__" in variable or variable in {"HERALD_TOPICS", "HERALD_TOPICS_FILE"}


def _setting_of(variable: str) -> tuple[str, bool]:
    """The setting's dotted name, and whether the value is in a file. A field named `…_file` wins."""
    name = variable.removeprefix(PREFIX).lower().replace("__", ".", 1)
    without_file = name.removesuffix("_file")
    if name not in known_fields() and without_file in known_fields():
        return without_file, True
    return name, False


def _accept_file(source: Source, name: str, path: Path, origin: str) -> None:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        source.reject(name, origin, f"{path} cannot be read: {error.strerror}")
    except ValueError:
        source.reject(name, origin, f"{path} is not UTF-8 text")
    else:
        _accept_text(source, name, text.removesuffix("\n").removesuffix("\r"), origin)


def _accept_text(source: Source, name: str, text: str, origin: str) -> None:
    kind, parse = _parser(known_fields()[name].annotation)
    try:
        text.encode()
        source.values[name] = Given(parse(text), origin)
    except (ValueError, RecursionError):
        source.reject(name, origin, f"{name} must be {kind}")


def _parser(annotation: Any) -> tuple[str, Callable[[str], object]]:
    if annotation is bool:
        return "true or false", _parse_bool
    if annotation is int:
        return "a whole number", int
    if annotation is float:
        return "a number", float
    if typing.get_origin(annotation) is tuple:
        return "a JSON array", _parse_array
    return "UTF-8 text", str


def _parse_bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in {"true", "1", "false", "0"}:
        raise ValueError(word)
    return word in {"true", "1"}


def _parse_array(text: str) -> list[object]:
    array = json.loads(text)
    if not isinstance(array, list):
        raise ValueError(text)  # noqa: TRY004 - the same mistake as a text that is not JSON
    return array
