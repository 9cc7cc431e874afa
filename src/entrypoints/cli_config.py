"""`herald config`: the settings in force, and their mistakes."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from entrypoints.cli_manual import ManualGroup
from entrypoints.cli_options import Invocation, as_json, example, with_settings, with_sources
from entrypoints.tables import show_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from entrypoints.settings import Loaded


@click.group(cls=ManualGroup, see=("docs/reference/settings.md",))
def config() -> None:
    """Show or check the settings."""


@config.command(
    uses=("all of them",),
    epilog=example("herald config show --describe", "HERALD_API__PORT=9000 herald config show --json"),
    see=("herald config check", "docs/reference/settings.md"),
)
@with_settings
@click.option("--describe", is_flag=True, help="Say what each setting is for.")
@as_json
def show(_: Invocation, loaded: "Loaded", *, describe: bool, as_json: bool) -> int:
    """The settings in force and where each came from.

    From --set, then the environment, then the settings file, then the defaults. Secrets are stars.
    """
    from entrypoints.settings_reference import settings_in_force  # noqa: PLC0415 - quick start

    settings = list(settings_in_force(loaded))
    if as_json:
        click.echo(json.dumps({"settings": [asdict(setting) for setting in settings]}, ensure_ascii=False))
        return 0
    columns = ["setting", "value", "from", *(["what it is for"] if describe else [])]
    rows = [
        [s.name, json.dumps(s.value, ensure_ascii=False), s.origin, *([s.description] if describe else [])]
        for s in settings
    ]
    show_table(columns, rows, whole=["setting"])
    return 0


@config.command(
    uses=("all of them",),
    exit_codes={0: "the settings are right", 1: "they have mistakes; each is a line on stderr"},
    epilog=example("herald config check", "herald config check --config /etc/herald.toml"),
    see=("herald doctor", "docs/reference/settings.md"),
)
@with_sources
def check(invocation: Invocation, config: "Path | None", assignments: "Sequence[str]") -> int:
    """Every mistake in the settings.

    The keys file, the templates and the certificates that they name are looked into, too.
    """
    from entrypoints.settings import SettingsError  # noqa: PLC0415 - quick start
    from entrypoints.settings_files import mistakes_in_files  # noqa: PLC0415 - quick start

    try:
        loaded = invocation.load(config, assignments)
    except SettingsError as error:
        raise SettingsError([*error.mistakes, *mistakes_in_files(error.right)], error.right) from None
    if mistakes := list(mistakes_in_files(loaded.settings)):
        raise SettingsError(mistakes, loaded.settings)
    given = sum(origin != "default" for origin in loaded.origins.values())
    click.echo(
        f"The settings are right: {given} given, {len(loaded.origins) - given} left at their defaults."
    )
    return 0
