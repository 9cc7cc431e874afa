"""What all commands share: the options that choose the settings, and what a command is given."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entrypoints.completion import complete_settings
from entrypoints.programs import Programs

if TYPE_CHECKING:
    from entrypoints.settings import Loaded


@dataclass(slots=True)
class Invocation:
    """One call of the program, and where it was called. `loaded` is None until the settings are read."""

    programs: Programs = field(default_factory=Programs)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    directory: Path = field(default_factory=Path.cwd)
    loaded: "Loaded | None" = None
    arguments: Sequence[str] = ()

    def load(self, config: Path | None, assignments: Sequence[str]) -> "Loaded":
        """The settings for this call. Raises `SettingsError`."""
        from entrypoints.settings import load_settings  # noqa: PLC0415 - --help must not wait for pydantic

        named = [] if config is None else ["--config", str(config)]
        self.arguments = [*named, *(word for text in assignments for word in ("--set", text))]
        self.loaded = load_settings(config, assignments, self.environ, self.directory)
        return self.loaded


def _assignments(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.partition("=")[0].strip() or "=" not in value:
            raise click.BadParameter(f"'{value}' is not section.field=value")
    return values


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config` and `--set`; the command gets the invocation and the settings in their place."""

    def loading(
        invocation: Invocation, /, config: Path | None, assignments: tuple[str, ...], **options: Any
    ) -> Any:
        return command(invocation, invocation.load(config, assignments), **options)

    return with_sources(functools.update_wrapper(loading, command))


def with_sources(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--config` and `--set`; the command gets the invocation and, not read yet, where settings are."""
    return _config(_set(click.pass_obj(command)))


_config = click.option(
    "--config", type=click.Path(path_type=Path), metavar="PATH", help="The settings file (TOML)."
)
_set = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SECTION.FIELD=VALUE",
    callback=_assignments,
    shell_complete=complete_settings,
    help="One setting; may be given again for others.",
)
supervised = click.option("--supervised-by", type=int, hidden=True, metavar="FD")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def example(*lines: str) -> str:
    """The end of a command's help: commands to copy, one a line."""
    return "\b\n" + "\n".join(["Example:", *(f"  {line}" for line in lines)])
