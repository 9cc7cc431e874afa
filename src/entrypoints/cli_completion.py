"""`herald completion`: what a shell needs to complete Herald's command lines."""

from typing import Any

import click

from entrypoints.cli_manual import ManualCommand
from entrypoints.cli_options import example, with_sources

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=ManualCommand,
    see=("docs/reference/commands.md",),
    epilog=example(
        "source <(herald completion bash)",
        "source <(herald completion zsh)",
        "herald completion fish | source",
    ),
)
@click.argument("shell", type=click.Choice(_SHELLS))
@with_sources
def completion(_: Any, *, shell: str, **__: Any) -> int:
    """Lets the shell complete commands, options, topics, groups and settings.

    Prints a script; the example loads it for this session, and the same line in ~/.bashrc or ~/.zshrc for
    every one. For fish, write it to ~/.config/fish/completions/herald.fish. It works for any path to herald.
    """
    from entrypoints.completion_scripts import SCRIPTS  # noqa: PLC0415 - quick start

    click.echo(SCRIPTS[shell], nl=False)
    return 0
