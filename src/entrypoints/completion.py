"""What TAB offers of the settings in force. It is quick, quiet, and offers nothing rather than failing."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from domain.channels import GROUPS

_USUAL_TOPIC = "transactions"


def complete_groups(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    return [CompletionItem(name) for name in GROUPS if name.startswith(begun)]


def complete_topics(ctx: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """The topics of the command line as it stands, the environment and the file."""
    with suppress(Exception):
        return [CompletionItem(name) for name in _topics(ctx) if name.startswith(begun)]
    return []


def complete_settings(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem[str]]:
    """The names, each with its `=`."""
    with suppress(Exception):
        from entrypoints.settings_sources import known_fields  # noqa: PLC0415 - half a second

        return [
            CompletionItem(f"{name}=", help=field.description)
            for name, field in known_fields().items()
            if name.startswith(begun)
        ]
    return []


def _topics(ctx: click.Context) -> Sequence[str]:
    """As `load_settings` has them, without checking anything: that would take half a second."""
    given = ctx.params.get("assignments") or ()
    assigned = [text.removeprefix("topics=") for text in given if text.startswith("topics=")]
    environ, directory = ctx.obj.environ, ctx.obj.directory
    for tables in (*map(json.loads, reversed(assigned)), *_elsewhere(ctx, environ, directory)):
        return [table["name"] for table in tables]
    return [_USUAL_TOPIC]


def _elsewhere(ctx: click.Context, environ: Mapping[str, str], directory: Path) -> Iterator[Any]:
    if text := environ.get("HERALD_TOPICS"):
        yield json.loads(text)
    named = ctx.params.get("config") or environ.get("HERALD_CONFIG") or "herald.toml"
    path = directory / named
    if path.exists():
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        if "topics" in tables:
            yield tables["topics"]
