"""The image's and Heroku's way of running Herald, without an engine and without a dyno.

The Dockerfile's own steps make a virtual environment in a folder; what the image then says of itself runs
from it, as one who may write nowhere but to temporary files; and each line of the Procfile runs from that
environment as it was with the libraries of requirements.txt alone.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from tests.bare_venv import Image, built
from tests.deployment import ROOT
from tests.free_ports import free_ports
from tests.integration import unprivileged
from tests.site import Site, eventually, kafka_log, site
from tests.sms_provider import SmsTestProvider
from tests.smtp_server import SmtpTestServer

# All that pip fetches, unpacks and compiles is a minute's work where other tests run beside it.
pytestmark = pytest.mark.timeout(300)
KEY = "a key for this test"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Removed with all its files at the end: pytest would keep those of three runs."""
    made = Path(tempfile.mkdtemp(prefix="herald-image-"))
    yield made
    subprocess.run(["chmod", "-R", "u+w", str(made)], check=True)
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def image(folder: Path) -> Image:
    root = folder / "root"
    root.mkdir()
    made = built(root, folder / "bare")
    subprocess.run(["chmod", "-R", "a-w", str(root)], check=True)
    return made


class Container:
    """The image's processes: its environment, a folder for /tmp, and nothing else that may be written."""

    def __init__(self, image: Image, folder: Path) -> None:
        self._image = image
        self.temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder))
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        image = self._image
        own = {"TMPDIR": str(self.temporary), "HOME": "/", **image.environment(), **environ}
        program = shutil.which(image.entrypoint[0], path=own["PATH"])
        assert program is not None
        process = subprocess.Popen(
            [sys.executable, unprivileged.__file__, program, *image.entrypoint[1:], *arguments],
            cwd=image.path(""),
            env=own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running.append(process)
        return process

    def healthy(self, **environ: str) -> bool:
        assert self._image.health[:1] == self._image.entrypoint
        return self.start(*self._image.health[1:], **environ).wait(30) == 0


@pytest.fixture
def container(image: Image, folder: Path) -> Iterator[Container]:
    one = Container(image, folder)
    yield one
    for process in one.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def tree(root: Path) -> set[Path]:
    return set(root.rglob("*"))


async def test_what_the_dockerfile_builds_runs_as_nobody_with_a_file_system_that_cannot_be_written(
    container: Container, image: Image
) -> None:
    before = tree(image.root)
    help_, _ = container.start("--help").communicate(timeout=30)
    smtp, sms, http, consumer = map(str, free_ports(4))
    ports = {"HERALD_INBOX__SMTP_PORT": smtp, "HERALD_INBOX__SMS_PORT": sms, "HERALD_INBOX__HTTP_PORT": http}
    elsewhere = {"HERALD_CONSUMER__HOST": "127.0.0.1", "HERALD_CONSUMER__PORT": consumer}
    ports |= elsewhere
    inbox = container.start("inbox", **ports)

    async def healthy() -> bool:
        return await asyncio.to_thread(container.healthy, **ports)

    well = await eventually(healthy)
    inbox.send_signal(signal.SIGTERM)
    said, _ = await asyncio.to_thread(inbox.communicate, timeout=30)
    unwell = await asyncio.to_thread(container.healthy, **ports)

    assert "herald" in help_
    assert "Usage: herald" in help_
    assert well, said
    assert inbox.returncode == 0, said
    assert not unwell
    assert tree(image.root) == before


def test_the_api_does_not_open_itself_to_all_without_a_word_on_keys(container: Container) -> None:
    refused = container.start("api", HERALD_API__HOST="0.0.0.0")
    said, _ = refused.communicate(timeout=30)

    assert refused.returncode == 1
    assert "set api.keys_file, or api.anonymous = true" in said


def test_nobody_installs_anything_there(image: Image) -> None:
    assert [path for path in image.path("/opt/herald/bin").iterdir() if path.name.startswith("pip")] == []


# Heroku ---------------------------------------------------------------------------------------------


def procfile() -> Mapping[str, str]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    return {name: command for name, _, command in (line.partition(": ") for line in lines)}


@pytest.fixture
async def dynos(image: Image, folder: Path, tmp_path: Path, kafka_address: str) -> AsyncIterator[Site]:
    """A checkout of its own, and the environment that requirements.txt alone makes."""
    for name in ("src", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "containers.py", tmp_path)
    async with site(tmp_path, kafka_log(kafka_address, f"dyno-{uuid4().hex[:8]}")) as one:
        one.program = ("sh", "-c")
        one.environ["PATH"] = f"{folder / 'bare' / 'bin'}:/usr/bin:/bin"
        one.environ.pop("PYTHONPATH", None)
        one.environ.pop("HERALD_API__PORT")
        one.environ.pop("HERALD_LOGGING__FILE", None)
        yield one


@pytest.mark.kafka
async def test_each_line_of_the_procfile_runs_from_the_libraries_alone_and_web_listens_on_port(
    dynos: Site,
) -> None:
    alone = dynos.start("cd / && python -c 'import entrypoints'")
    assert await asyncio.to_thread(alone.wait, 30) == 1, "the environment is not bare"
    dynos.running.clear()
    (port,) = free_ports(1)
    dynos.api = f"http://127.0.0.1:{port}"
    keys = f"test {hashlib.sha256(KEY.encode()).hexdigest()} *"
    lines = procfile()
    async with SmtpTestServer() as mails, SmsTestProvider() as texts:
        dynos.environ |= {"HERALD_SMTP__PORT": str(mails.port), "HERALD_SMS__URL": texts.url}
        # A test listens on the loopback only; a dyno has nothing said of its host, and listens everywhere.
        on_port = {"PORT": str(port), "HERALD_API__HOST": "127.0.0.1", "HERALD_API__KEYS": keys}
        dynos.start(f"exec {lines['web']}", **on_port)
        for group, at in dynos.health_ports.items():
            dynos.start(f"exec {lines[group]}", PORT=str(port), HERALD_CONSUMER__PORT=str(at))
        ready = await dynos.ready() and all([await dynos.consumer_ready(g) for g in dynos.health_ports])
        stranger = await dynos.post()
        dynos.http.headers["Authorization"] = f"Bearer {KEY}"
        taken = await dynos.post()

        async def both_came() -> bool:
            return bool(mails.mails and texts.texts)

        came = await eventually(both_came)
        for process in dynos.running:
            os.killpg(process.pid, signal.SIGTERM)  # a dyno that stops tells all its processes at once
        codes = [await asyncio.to_thread(process.wait, 30) for process in dynos.running]

    assert ready, dynos.output()
    assert (stranger.status_code, taken.status_code) == (401, 202)
    assert came, dynos.output()
    assert codes == [0, 0, 0], dynos.output()
