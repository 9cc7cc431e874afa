"""docs/howto/add-a-channel.md: its changes made in a copy of the tree, and the channel run."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.site import site, sqlite_log
from tests.sms_provider import SmsTestProvider

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "howto" / "add-a-channel.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [text] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(text)


def changed_copy(folder: Path) -> None:
    """The program with the page's changes."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "containers.py", folder)
    (folder / "src/application/notify_whatsapp.py").write_text(block("python"), encoding="utf-8")
    subprocess.run(
        ["git", "apply", "-C1", "-"],
        cwd=folder,
        env={"GIT_CEILING_DIRECTORIES": str(folder.parent), "PATH": "/usr/bin:/bin"},
        input=block("diff").encode(),
        check=True,
        timeout=10,
    )


async def test_the_new_channel_sends_what_it_should(tmp_path: Path) -> None:
    await asyncio.to_thread(changed_copy, tmp_path)
    settings = tmp_path / "herald.toml"
    settings.write_text(block("toml"), encoding="utf-8")
    path = {"PYTHONPATH": f"{tmp_path / 'src'}:{tmp_path}"}
    async with SmsTestProvider() as provider, site(tmp_path, sqlite_log() | path) as one:
        one.start("api", HERALD_SMS__URL=provider.url)
        one.start("consumer", "whatsapp", HERALD_SMS__URL=provider.url)
        assert await one.ready(), one.output()
        answer = await one.post(request_id="w-1", transaction_id="T-9")
        assert answer.status_code == 202, answer.text
        await asyncio.wait_for(provider.saw(requests=1), 30)
    [text] = provider.texts
    assert text.fields["To"] == "whatsapp:+12025550143"
    assert text.fields["From"] == "whatsapp:+15005550006"
    assert "T-9" in text.fields["Body"]
    assert text.headers["idempotency-key"] == "w-1.transactions.whatsapp"


@pytest.mark.parametrize(
    "row", re.findall(r"^\| `((?:src|docs)/\S+)` \| (.+) \|$", PAGE, re.MULTILINE), ids=lambda row: row[0]
)
def test_what_the_page_names_is_there(row: tuple[str, str]) -> None:
    path, what = row
    text = (ROOT / path).read_text(encoding="utf-8")
    assert all(name in text for name in re.findall(r"`(\w+)`", what))
