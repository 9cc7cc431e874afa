"""`herald doctor`: everything that Herald needs, looked at; each line ok, or what to do."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from entrypoints.cli_manual import ManualCommand
from entrypoints.cli_options import Invocation, as_json, example, with_sources
from entrypoints.screen import progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from application.doctor import Doctor
    from domain.diagnosis import Finding
    from entrypoints.settings_model import Settings


@click.command(
    cls=ManualCommand,
    uses=("all of them",),
    exit_codes={
        0: "all is well, or there are warnings only",
        1: "something is wrong, or could not be looked at",
    },
    epilog=example("herald doctor", "herald doctor --config /etc/herald.toml --json"),
    see=("herald health", "herald lag", "docs/reference/commands.md"),
)
@with_sources
@as_json
def doctor(
    invocation: Invocation, config: "Path | None", assignments: "Sequence[str]", *, as_json: bool
) -> int:
    """Everything that Herald needs, looked at.

    The settings, the log and its topics, a consumer of each group and its channel, the mail server, the SMS
    provider, clock, disks and ports: each line is ok, or says what to do. It sends nothing, changes nothing,
    and waits a few seconds at most for whatever does not answer.
    """
    from application.doctor import is_bad  # noqa: PLC0415 - quick start
    from entrypoints.doctor_report import show_findings, summary  # noqa: PLC0415 - quick start

    settings, findings, wrong_sections = _look_at_settings(invocation, config, assignments)
    findings += asyncio.run(_examine(invocation.programs.doctor(settings, wrong_sections)))
    if as_json:
        answer = {"well": not is_bad(findings), "findings": [asdict(one) for one in findings]}
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        show_findings(findings)
        click.echo(summary(findings))
    return 1 if is_bad(findings) else 0


def _look_at_settings(
    invocation: Invocation, config: "Path | None", assignments: "Sequence[str]"
) -> "tuple[Settings, list[Finding], frozenset[str]]":
    """The settings that are right, what is found of all, and the sections that have a mistake."""
    from entrypoints.doctor_settings import mistakes_found, settings_findings  # noqa: PLC0415 - quick start
    from entrypoints.settings import SettingsError  # noqa: PLC0415 - quick start

    try:
        loaded = invocation.load(config, assignments)
    except SettingsError as error:
        return error.right, list(mistakes_found(error)), error.sections
    findings = settings_findings(loaded, invocation.environ, invocation.directory)
    return loaded.settings, list(findings), frozenset()


async def _examine(doctor: "Doctor") -> "list[Finding]":
    with progress_bar(doctor.checks, "Looking") as advance_to:
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            advance_to(done)

        return await doctor(one_more)
