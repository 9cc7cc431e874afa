"""docs/howto/add-an-adapter.md: its adapter, held by the port's contract suite as the page says."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "add-an-adapter.md"


async def test_the_adapter_of_the_page_passes_the_contract_of_its_port(tmp_path: Path) -> None:
    adapter, suite, _wiring = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("containers.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "src/adapters/json_sms.py").write_text(adapter, encoding="utf-8")
    (tmp_path / "tests/unit/test_json_sms.py").write_text(suite, encoding="utf-8")

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/unit/test_json_sms.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'src'}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"1\d passed", done.stdout), done.stdout
