"""`herald drill`: Herald's promises tried on this machine."""

import random
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from entrypoints.cli_manual import ManualCommand, ManualOption
from entrypoints.cli_options import Invocation, as_json, example, with_settings

if TYPE_CHECKING:
    from entrypoints.settings import Loaded

_SEEDS = 1_000_000
_faults = partial(click.option, cls=ManualOption, section="Faults")


@click.command(
    cls=ManualCommand,
    uses=("[delivery]", "[kafka]", "broker.backend"),
    exit_codes={
        0: "nothing lost, nothing out of order, repeats within the bound",
        1: "one of these did not hold",
    },
    see=("docs/guarantees.md", "docs/reference/commands.md"),
    epilog=example(
        "herald drill",
        "herald drill --minutes 10 --seed 7",
        "herald drill --set broker.backend=kafka --broker-stop 'docker stop kafka-1' \\",
        "  --broker-start 'docker start kafka-1'",
    ),
)
@with_settings
@as_json
@_faults("--minutes", type=click.FloatRange(0.1), metavar="N", help="Faults at random for so long.")
@_faults("--seed", type=int, metavar="N", help="Draws the same faults again.")
@click.option(
    "--rate",
    type=click.FloatRange(1),
    metavar="N",
    default=40.0,
    show_default=True,
    help="Messages a second.",
)
@_faults(
    "--outage-seconds",
    type=click.FloatRange(0.5),
    metavar="N",
    default=4.0,
    show_default=True,
    help="How long each is down.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1),
    metavar="N",
    default=75.0,
    show_default=True,
    help="Seconds without an arrival after which what is missing is lost.",
)
@_faults("--broker-stop", metavar="COMMAND", help="Stops a broker (Kafka only).")
@_faults("--broker-start", metavar="COMMAND", help="Starts it again.")
@click.option("--keep", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep the log files there.")
@click.option("--consumer-program", hidden=True, default="", metavar="COMMAND")
def drill(
    invocation: Invocation,
    loaded: "Loaded",
    *,
    as_json: bool,
    minutes: float | None,
    seed: int | None,
    rate: float,
    outage_seconds: float,
    patience: float,
    broker_stop: str | None,
    broker_start: str | None,
    keep: Path | None,
    consumer_program: str,
) -> int:
    """Takes everything down in turn and counts.

    Starts Herald with a mail server and an SMS provider of the drill's own, in a temporary folder (or with
    a topic and groups of its own on your Kafka), and takes down each of them and the consumers under load.
    """
    from entrypoints.run_drill import DrillOptions  # noqa: PLC0415 - quick start

    broker = _broker(loaded, broker_stop, broker_start)
    options = DrillOptions(
        rate=rate,
        outage_seconds=outage_seconds,
        minutes=minutes,
        seed=random.randrange(_SEEDS) if seed is None else seed,  # noqa: S311 - it is printed
        patience=patience,
        broker=broker,
        keep=invocation.directory / keep if keep else None,
        as_json=as_json,
        consumer=shlex.split(consumer_program),
    )
    return invocation.programs.drill(loaded.settings, options)


def _broker(loaded: "Loaded", stop: str | None, start: str | None) -> tuple[str, str] | None:
    if stop is None and start is None:
        return None
    if not stop or not start:
        raise click.UsageError("--broker-stop and --broker-start go together.")
    if loaded.settings.broker.backend != "kafka":
        raise click.UsageError("--broker-stop is for Kafka: add --set broker.backend=kafka.")
    return stop, start
