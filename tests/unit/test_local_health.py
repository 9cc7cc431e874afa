"""`herald health`: what processes answer, and what they may answer else, on real ports of the loopback."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from entrypoints.cli import main
from entrypoints.cli_options import Invocation
from entrypoints.consumer_probes import ConsumerProbes, serving_probes
from entrypoints.local_health import Health, ask_all, places_to_ask
from entrypoints.settings import load_settings
from entrypoints.settings_model import Settings
from tests.free_ports import free_ports


def settings(**ports: int) -> Settings:
    """All three ports are free ones but for those given: `api=1`."""
    api, consumer, inbox = free_ports(3)
    named = {"api.port": api, "consumer.port": consumer, "inbox.http_port": inbox}
    given = {next(name for name in named if name.startswith(process)): at for process, at in ports.items()}
    texts = [f"{name}={port}" for name, port in (named | given).items()]
    return load_settings(None, texts, {}, Path("/nowhere")).settings


@asynccontextmanager
async def answering(answer: bytes, *, closes: bool = True) -> AsyncIterator[int]:
    """A port on which somebody says this, whatever is asked."""
    ended = asyncio.Event()

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if not closes:
            await ended.wait()
        writer.close()

    server = await asyncio.start_server(answer_one, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        ended.set()
        server.close()
        await server.wait_closed()


async def asked(port: int, seconds: float = 3.0) -> tuple[Health, str]:
    api, *_ = await ask_all(settings(api=port), live=True, seconds=seconds)
    return api.health, api.reason


async def test_a_consumer_is_well_when_its_own_port_says_so_and_unwell_with_its_reason() -> None:
    reasons = {"live": None, "ready": "the log does not answer yet"}

    async def ready() -> str | None:
        return reasons["ready"]

    probes = ConsumerProbes(live=lambda: reasons["live"], ready=ready, metrics=lambda: b"")
    async with serving_probes(probes, "127.0.0.1", 0) as port:
        of_it = settings(consumer=port)
        lives, stands = [
            {one.process: (one.health, one.reason) for one in await ask_all(of_it, live=live)}
            for live in (True, False)
        ]

    assert lives["consumer"] == (Health.WELL, "")
    assert stands["consumer"] == (Health.UNWELL, "the log does not answer yet")
    assert {lives["api"][0], lives["inbox"][0]} == {Health.ABSENT}


class TwoAddresses(asyncio.SelectorEventLoop):
    """Where a name has two addresses, as `localhost` has on most machines."""

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.1", "127.0.0.2")]


def test_where_nobody_listens_at_a_name_of_two_addresses_the_process_is_absent() -> None:
    [port] = free_ports(1)
    texts = ["api.host=localhost", f"api.port={port}", "inbox.http_port=0"]
    of_it = load_settings(None, texts, {}, Path("/nowhere")).settings

    with asyncio.Runner(loop_factory=TwoAddresses) as runner:
        [api] = runner.run(ask_all(of_it, live=True))

    assert (api.health, api.reason) == (Health.ABSENT, "nothing listens there")


async def test_a_problem_s_detail_is_the_reason() -> None:
    body = json.dumps({"title": "The log did not confirm", "detail": "no broker answers"}).encode()
    async with answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n" + body) as port:
        assert await asked(port) == (Health.UNWELL, "no broker answers")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "it answers no HTTP"),
        (b"220 mail.example.test ESMTP\r\n", "it answers no HTTP"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n[1]", "it answers 404"),
        (b"HTTP/1.1 500 Oh\r\n\r\n" + b"[" * 60_000, "it answers 500"),
        (b"HTTP/1.1 503 Oh\r\n\r\n" + json.dumps({"reason": "x" * 900}).encode(), "x" * 200),
    ],
)
async def test_whoever_else_answers_there_is_not_well(said: bytes, reason: str) -> None:
    async with answering(said) as port:
        assert await asked(port) == (Health.UNWELL, reason)


async def test_an_answer_that_does_not_end_is_not_waited_for() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n", closes=False) as port:
        assert await asked(port, seconds=0.05) == (Health.UNWELL, "no answer within 0.05 seconds")


def test_who_listens_everywhere_is_asked_on_the_loopback_and_who_has_any_port_is_not_asked() -> None:
    given = ["api.host=0.0.0.0", "api.anonymous=true", "inbox.host=::", "consumer.port=0"]
    everywhere = load_settings(None, given, {}, Path("/nowhere")).settings

    assert dict(places_to_ask(everywhere, live=False)) == {
        "api": "http://127.0.0.1:8080/health/ready",
        "inbox": "http://[::1]:8025/api/v1/inbox/outage",
    }


# The command ----------------------------------------------------------------------------------------


async def run(port: int, *options: str) -> int:
    api, inbox = free_ports(2)
    ports = {"api.port": api, "consumer.port": port, "inbox.http_port": inbox}
    words = [word for name, value in ports.items() for word in ("--set", f"{name}={value}")]
    command: Callable[[], Any] = lambda: main(["health", *options, *words], Invocation(environ={}))  # noqa: E731
    return int(await asyncio.to_thread(command))


async def test_the_command_shows_who_is_well_and_exits_0(capsys: pytest.CaptureFixture[str]) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n{}") as port:
        code = await run(port)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]

    assert code == 0
    assert ["consumer", "well", f"http://127.0.0.1:{port}/health/ready"] in rows
    assert [row[:2] for row in rows[1:]] == [["api", "absent"], ["consumer", "well"], ["inbox", "absent"]]


async def test_with_one_unwell_it_exits_1_and_says_why_for_machines_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with answering(b'HTTP/1.1 503 No\r\n\r\n{"reason": "nothing moves"}') as port:
        code = await run(port, "--live", "--json")
    told = {one["process"]: one for one in json.loads(capsys.readouterr().out)["processes"]}

    assert code == 1
    assert told["consumer"] == {
        "process": "consumer",
        "url": f"http://127.0.0.1:{port}/health/live",
        "health": "unwell",
        "reason": "nothing moves",
    }


async def test_where_nothing_runs_it_says_what_to_do_and_exits_1(capsys: pytest.CaptureFixture[str]) -> None:
    (port,) = free_ports(1)

    assert await run(port) == 1
    assert "nothing of Herald's answers" in (said := capsys.readouterr().err)
    assert len(said.splitlines()) == 1
