"""The program `herald`."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from domain.channels import GROUPS
from domain.errors import HeraldError
from entrypoints.cli_completion import completion
from entrypoints.cli_config import config
from entrypoints.cli_dead_letters import dead_letters
from entrypoints.cli_doctor import doctor
from entrypoints.cli_drill import drill
from entrypoints.cli_health import health
from entrypoints.cli_lag import lag
from entrypoints.cli_manual import ManualGroup, colour
from entrypoints.cli_options import Invocation, example, supervised, with_settings
from entrypoints.cli_status import status
from entrypoints.cli_topics import topics
from entrypoints.rare_collections import end_with

if TYPE_CHECKING:
    from entrypoints.settings import Loaded

FAILURE = 1


def _show_version(ctx: click.Context, _: click.Parameter, is_asked: bool) -> None:  # noqa: FBT001 - click's
    if is_asked:
        from entrypoints.version import herald_version  # noqa: PLC0415 - takes longer than all of --help

        click.echo(f"herald {herald_version()}")
        ctx.exit()


@click.group(
    cls=ManualGroup,
    kinds={
        "Running": ("run", "api", "consumer", "inbox"),
        "Looking": ("doctor", "health", "lag", "status"),
        "Acting": ("dead-letters", "topics"),
        "Setting up": ("config", "completion", "drill"),
    },
    epilog=example("herald run", "herald doctor", "herald api --set api.port=9000"),
    see=("README.md", "docs/walkthrough.md", "docs/reference/commands.md"),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
def herald() -> None:
    """Takes messages over REST, keeps them in a durable log, delivers each by email and by SMS."""


@herald.command(
    uses=(
        "[broker]",
        "[api]",
        "[smtp]",
        "[sms]",
        "[delivery]",
        "[consumer]",
        "[inbox]",
        "[logging]",
        "[[topics]]",
    ),
    exit_codes={
        0: "it ended in order, after Ctrl-C or SIGTERM",
        1: "a part could not start, or a second Ctrl-C",
    },
    epilog=example("herald run", "herald run --set api.port=9000 --set logging.level=DEBUG"),
    see=("herald doctor", "docs/walkthrough.md"),
)
@with_settings
def run(invocation: Invocation, loaded: "Loaded") -> int:
    """Everything on this machine.

    API, both consumers and, where [smtp] or [sms] points at it, the local inbox: each its own process.
    """
    _needs_a_shared_log(loaded)
    return invocation.programs.run(loaded, invocation.arguments)


@herald.command(
    uses=("[api]", "[broker]", "[sqlite]", "[kafka]", "[status]", "[logging]", "[[topics]]"),
    exit_codes={0: "it ended in order, after Ctrl-C or SIGTERM", 1: "it could not start"},
    epilog=example("herald api --config /etc/herald.toml", "herald api --set api.workers=4"),
    see=("herald health", "docs/reference/http.md"),
)
@with_settings
@supervised
def api(invocation: Invocation, loaded: "Loaded", supervised_by: int | None) -> int:
    """The produce API alone."""
    _needs_a_shared_log(loaded)
    return invocation.programs.api(loaded, supervised_by)


@herald.command(
    uses=(
        "[delivery]",
        "[consumer]",
        "[smtp]",
        "[sms]",
        "[templates]",
        "[broker]",
        "[logging]",
        "[[topics]]",
    ),
    exit_codes={0: "it ended in order, after Ctrl-C or SIGTERM", 1: "it could not start, or stood still"},
    epilog=example("herald consumer email", "herald consumer sms --set delivery.concurrency=128"),
    see=("herald lag", "herald health", "docs/reference/delivery.md"),
)
@click.argument("group", type=click.Choice(GROUPS))
@with_settings
@supervised
def consumer(invocation: Invocation, loaded: "Loaded", group: str, supervised_by: int | None) -> int:
    """One process of a consumer group.

    On Kafka several of a group share its partitions; on SQLite one works and the others stand by.
    """
    _needs_a_shared_log(loaded)
    return invocation.programs.consumer(loaded, group, supervised_by)


@herald.command(
    uses=("[inbox]", "[logging]"),
    exit_codes={0: "it ended in order, after Ctrl-C or SIGTERM", 1: "it could not start"},
    epilog=example("herald inbox", "herald inbox --set inbox.http_port=9025"),
    see=("docs/reference/inbox.md",),
)
@with_settings
@supervised
def inbox(invocation: Invocation, loaded: "Loaded", supervised_by: int | None) -> int:
    """A local mail server and SMS provider.

    For development: what arrives there is held in memory and shown on a page.
    """
    return invocation.programs.inbox(loaded, supervised_by)


herald.add_command(topics)
herald.add_command(dead_letters)
herald.add_command(status)
herald.add_command(lag)
herald.add_command(health)
herald.add_command(doctor)
herald.add_command(config)
herald.add_command(drill)
herald.add_command(completion)


def _needs_a_shared_log(loaded: "Loaded") -> None:
    if loaded.settings.broker.backend == "memory":
        raise HeraldError(
            "broker.backend = memory lives inside one process, so the API's messages never reach a consumer: "
            "set it to sqlite or kafka"
        )


def main(arguments: Sequence[str] | None = None, invocation: Invocation | None = None) -> int:
    """Runs one command; the exit code. `arguments` without the program's name; by default the process's.

    A reader that went away (`herald config show | head -1`) is click's to end with, quietly.
    """
    # Libraries may log before a command has set its log up; on the screen that would look like an error.
    logging.getLogger().addHandler(logging.NullHandler())
    invocation = invocation or Invocation()
    try:
        return _invoke(arguments, invocation)
    except click.Abort:
        return FAILURE
    except click.ClickException as error:
        return _refuse(error)
    except HeraldError as error:
        return _tell(str(error), FAILURE)
    except Exception as error:  # noqa: BLE001 - a person gets a line and the log the traceback
        return _crashed(error, invocation)


def _invoke(arguments: Sequence[str] | None, invocation: Invocation) -> int:
    given = None if arguments is None else list(arguments)
    answer: Any = herald.main(given, "herald", standalone_mode=False, obj=invocation, color=colour())
    return answer if isinstance(answer, int) else 0


def _refuse(error: click.ClickException) -> int:
    message = _what_is_wrong(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(message, err=True, color=colour())
        return error.exit_code
    message = " ".join(message.split())  # click lists the choices of a missing argument on lines of their own
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context:
        end = " See" if message.endswith("?") else "; see"
        message = f"{message.rstrip('.')}{end} '{context.command_path} --help'"
    return _tell(message, error.exit_code)


def _what_is_wrong(error: click.ClickException) -> str:
    """As click says it, but of an option with the nearest one alone."""
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        return f"{error.message} Did you mean '{error.possibilities[0]}'?"
    return error.format_message()


def _tell(message: str, exit_code: int) -> int:
    from entrypoints.logs import say  # noqa: PLC0415 - quick start

    say(message)
    return exit_code


def _crashed(error: Exception, invocation: Invocation) -> int:
    from entrypoints.logs import configure_logging, log_crash, say  # noqa: PLC0415 - quick start
    from entrypoints.settings_model import Settings  # noqa: PLC0415 - quick start

    loaded = invocation.loaded
    settings = loaded.settings if loaded else Settings()
    try:
        log = configure_logging(settings.logging, "cli", loaded.secrets() if loaded else ())
    except HeraldError as no_log:
        say(f"internal error ({type(error).__name__}), and {no_log}")
        return FAILURE
    log_crash(error, log.path)
    log.close()
    return FAILURE


def program() -> NoReturn:
    """The process `herald`: its own arguments, and its end."""
    end_with(main)


if __name__ == "__main__":
    program()
