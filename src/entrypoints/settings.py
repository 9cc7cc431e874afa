"""The settings in force, and where each came from.

Order: `--set`, then the environment, then the TOML file, then the defaults.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from domain.errors import HeraldError
from entrypoints.settings_contradictions import contradictions
from entrypoints.settings_model import Settings
from entrypoints.settings_sources import (
    TOPICS,
    Given,
    Mistake,
    Source,
    from_assignments,
    from_environment,
    from_file,
    known_fields,
)

__all__ = ["Loaded", "Settings", "SettingsError", "load_settings"]

DEFAULT = "default"


class SettingsError(HeraldError):
    """All mistakes in the settings; `mistakes` has a line for each, with where it was made.

    `right`: the settings without those. `sections`: those that have one; "" where it may be any.
    """

    def __init__(
        self, mistakes: Sequence[str], right: Settings, sections: AbstractSet[str] = frozenset()
    ) -> None:
        self.mistakes = tuple(mistakes)
        self.right = right
        self.sections = frozenset(sections)
        count = "one mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n  ".join([f"{count} in the settings:", *mistakes]))


@dataclass(frozen=True, slots=True)
class Loaded:
    """`origins`: for each dotted name "default", a file's path, "environment NAME" or "--set"."""

    settings: Settings
    origins: Mapping[str, str]

    def secrets(self) -> tuple[str, ...]:
        """Every secret that is set, to be kept out of logs. Defaults are no secrets."""
        values = [(name, value_of(self.settings, name)) for name in self.origins]
        return tuple(
            value.get_secret_value()
            for name, value in values
            if isinstance(value, SecretStr) and self.origins[name] != DEFAULT and value.get_secret_value()
        )


def value_of(settings: Settings, name: str) -> object:
    """The value of a setting by its dotted name."""
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def load_settings(
    config: Path | None,
    assignments: Sequence[str],
    environ: Mapping[str, str],
    directory: Path,
) -> Loaded:
    """The settings in force. Raises `SettingsError` with every mistake of every source.

    `config`: the file named on the command line; without it `HERALD_CONFIG`, then `herald.toml` in
    `directory`, the working directory, where it exists. `assignments`: `section.field=value`.
    """
    sources = [
        _file_source(config, environ, directory),
        from_environment(environ, directory),
        from_assignments(assignments),
    ]
    given = {name: value for source in sources for name, value in source.values.items()}
    mistakes = [mistake for source in sources for mistake in source.mistakes]
    settings, wrong = _validated(given)
    mistakes += wrong
    mistakes += _contradictions(settings, given, {mistake.name for mistake in mistakes})
    if mistakes:
        sections = {mistake.name.partition(".")[0] for mistake in mistakes}
        raise SettingsError([str(mistake) for mistake in mistakes], settings, sections)
    return Loaded(settings, {name: _origin(given, name) for name in known_fields()})


def _file_source(config: Path | None, environ: Mapping[str, str], directory: Path) -> Source:
    if config is not None:
        return from_file(directory / config, "--config")
    if named := environ.get("HERALD_CONFIG"):
        return from_file(directory / named, "environment HERALD_CONFIG")
    usual = directory / "herald.toml"
    return from_file(usual, str(usual)) if usual.exists() else Source()


def _validated(given: Mapping[str, Given]) -> tuple[Settings, list[Mistake]]:
    """Settings from what is right, and what is wrong."""
    try:
        return Settings.model_validate(_nested(given)), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    wrong = [Mistake(name := _blamed(detail), given[name].origin, _sentence(detail)) for detail in details]
    names = {mistake.name for mistake in wrong}
    settings, _ = _validated({name: value for name, value in given.items() if name not in names})
    return settings, wrong


def _nested(given: Mapping[str, Given]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for name, value in given.items():
        section, is_field, field = name.partition(".")
        if is_field:
            tables.setdefault(section, {})[field] = value.value
        else:
            tables[section] = value.value
    return tables


def _blamed(detail: ErrorDetails) -> str:
    section, *rest = detail["loc"]
    return TOPICS if section == TOPICS else f"{section}.{rest[0]}"


def _sentence(detail: ErrorDetails) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{name} is not a setting"
        case "missing":
            return f"{name} is required"
        case "tuple_type" if name == TOPICS:
            return "topics must be a list of [[topics]] tables"
        case "model_type":
            return f"{name} must be a table with a name"
        case _:
            text = detail["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
            return f"{name} {text[0].lower()}{text[1:]}"


def _contradictions(settings: Settings, given: Mapping[str, Given], wrong: AbstractSet[str]) -> list[Mistake]:
    """Those that are not the mere consequence of a mistake named already."""
    found = [(names[0], fault) for names, fault in contradictions(settings) if wrong.isdisjoint(names)]
    return [Mistake(name, _origin(given, name), f"{name} {fault}") for name, fault in found]


def _origin(given: Mapping[str, Given], name: str) -> str:
    return given[name].origin if name in given else DEFAULT
