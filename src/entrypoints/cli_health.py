"""`herald health`: whether the processes on this machine are well; for people, and for containers."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from domain.errors import HeraldError
from entrypoints.cli_manual import ManualCommand
from entrypoints.cli_options import Invocation, as_json, example, with_settings
from entrypoints.screen import printable
from entrypoints.tables import show_table

if TYPE_CHECKING:
    from entrypoints.settings import Loaded


@click.command(
    cls=ManualCommand,
    uses=("[api]", "[consumer]", "[inbox]"),
    exit_codes={0: "what is there is well", 1: "one is not well, or none is there"},
    epilog=example("herald health", "herald health --live --set consumer.port=9100"),
    see=("herald doctor",),
)
@with_settings
@click.option("--live", is_flag=True, help="Whether they move, not whether the log and its group answer too.")
@as_json
def health(_: Invocation, loaded: "Loaded", *, live: bool, as_json: bool) -> int:
    """Whether what runs on this machine is well.

    API, consumer and inbox are asked at the ports that the settings name; of each, one that is not there is
    passed over.
    """
    from entrypoints.local_health import Health, ask_all  # noqa: PLC0415 - quick start

    asked = asyncio.run(ask_all(loaded.settings, live=live))
    if as_json:
        click.echo(json.dumps({"processes": [asdict(one) for one in asked]}, ensure_ascii=False))
    elif all(one.health is Health.ABSENT for one in asked):
        places = ", ".join(one.url for one in asked)
        raise HeraldError(
            f"nothing of Herald's answers ({places}): start it, or name its port in api.port, consumer.port "
            "or inbox.http_port"
        )
    else:
        rows = [[one.process, one.health, one.url, printable(one.reason)] for one in asked]
        show_table(["process", "health", "asked at", "reason"], rows, whole=["asked at"])
    found = {one.health for one in asked}
    return 0 if Health.WELL in found and Health.UNWELL not in found else 1
