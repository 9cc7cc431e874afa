"""Help that reads like a page of a manual: name, what it does, options by kind, exit codes, examples."""

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

_EXIT_CODES = {0: "it did what was asked", 1: "it failed; one line on stderr says why", 2: "wrong usage"}
_OF_EVERY_COMMAND = ("--config", "--set", "--help")
_OWN, _COMMON = "Options", "Options of every command"


class PlainOrBold(click.HelpFormatter):
    """Headings in bold; who prints the help leaves that out where it is no terminal."""

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{click.style(f'{heading}:', bold=True)}\n")

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        super().write_usage(prog, args, click.style(prefix or "Usage:", bold=True) + " ")


class ManualContext(click.Context):
    formatter_class = PlainOrBold


class ManualOption(click.Option):
    """An option that stands under a heading of its own kind."""

    def __init__(self, *args: Any, section: str = _OWN, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class ManualCommand(click.Command):
    """`uses`: sections and fields of the settings. `see`: other commands, and pages.

    `exit_codes`: where they mean something else than with every command.
    """

    context_class = ManualContext

    def __init__(
        self,
        *args: Any,
        uses: Sequence[str] = (),
        see: Sequence[str] = (),
        exit_codes: Mapping[int, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.uses = tuple(uses)
        self.see = tuple(see)
        self.exit_codes = {**_EXIT_CODES, **(exit_codes or {})}

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_name(self, ctx, formatter)
        self.format_usage(ctx, formatter)
        _write_rest_of_text(self, formatter)
        self.format_options(ctx, formatter)
        _write_rows(formatter, "Exit codes", [(str(code), text) for code, text in self.exit_codes.items()])
        _write_words(formatter, "Settings it uses", self.uses)
        _write_examples(self, formatter)
        _write_words(formatter, "See also", self.see)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {_OWN: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or not isinstance(param, click.Option):
                continue
            own = param.section if isinstance(param, ManualOption) else _OWN
            common = bool(set(param.opts) & set(_OF_EVERY_COMMAND))
            sections.setdefault(_COMMON if common else own, []).append(record)
        for name in sorted(sections, key=lambda name: name == _COMMON):
            _write_rows(formatter, name, sections[name])


class ManualGroup(click.Group):
    """`kinds`: the commands under a heading each; what is in none comes last."""

    command_class = ManualCommand
    context_class = ManualContext

    def __init__(
        self,
        *args: Any,
        kinds: Mapping[str, Sequence[str]] | None = None,
        see: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._kinds = dict(kinds or {})
        self.see = tuple(see)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_name(self, ctx, formatter)
        self.format_usage(ctx, formatter)
        _write_rest_of_text(self, formatter)
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)
        _write_examples(self, formatter)
        _write_words(formatter, "See also", self.see)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        left = self.list_commands(ctx)
        kinds: dict[str, Sequence[str]] = {}
        for kind, names in self._kinds.items():
            kinds[kind] = [name for name in names if name in left]
            left = [name for name in left if name not in names]
        for kind, names in {**kinds, "Others" if kinds else "Commands": left}.items():
            _write_rows(formatter, kind, [(name, _first_words(self.commands[name])) for name in names])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, which knows of names that are spelled alike only."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            meant = self._meant(args[0])
            if error.possibilities or not meant:
                raise
            names = " or ".join(f"'{name}'" for name in meant)
            raise click.UsageError(f"{error.message} Did you mean {names}?", ctx) from None

    def _meant(self, word: str) -> Sequence[str]:
        """What begins so, or is called so one step further down: `dead`, `replay`."""
        begins = [name for name in self.commands if name.startswith(word)]
        inner = [
            f"{name} {word}"
            for name, command in self.commands.items()
            if isinstance(command, click.Group) and word in command.commands
        ]
        return begins or inner


def wants_no_colour(environ: Mapping[str, str]) -> bool:
    """See no-color.org; a dumb terminal would show the codes."""
    return bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"


def colour() -> bool | None:
    """For click: None leaves it to whether it prints on a terminal."""
    return False if wants_no_colour(os.environ) else None


def _text_of(command: click.Command) -> tuple[str, str]:
    """The first sentence of a command's text, and what follows."""
    first, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    return " ".join(first.split()), rest


def _first_words(command: click.Command) -> str:
    return _text_of(command)[0].rstrip(".")


def _write_name(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    formatter.write_text(f"{ctx.command_path} - {_first_words(command)}")
    formatter.write_paragraph()


def _write_rest_of_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    rest = _text_of(command)[1]
    if rest:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(rest)


def _write_rows(formatter: click.HelpFormatter, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(list(rows))


def _write_words(formatter: click.HelpFormatter, heading: str, words: Sequence[str]) -> None:
    if words:
        with formatter.section(heading):
            formatter.write_text(", ".join(words))


def _write_examples(command: click.Command, formatter: click.HelpFormatter) -> None:
    """As `example` has put them together."""
    heading, *lines = (command.epilog or "").removeprefix("\b\n").splitlines() or [""]
    if lines:
        with formatter.section(heading.rstrip(":")):
            formatter.write("".join(f"{line}\n" for line in lines))
