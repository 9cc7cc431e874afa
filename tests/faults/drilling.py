"""Runs `herald drill` as its user does, in a folder."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.site import HERALD

ROOT = Path(__file__).parents[2]
QUICK = ("--outage-seconds", "1", "--rate", "40", "--seed", "1")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        return json.loads(self.out)

    @property
    def worst(self) -> dict[str, int]:
        """The larger figure of both channels."""
        channels = self.result["channels"].values()
        return {name: max(one[name] for one in channels) for name in ("lost", "out_of_order", "beyond")}


async def started(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HERALD_")}
    return await asyncio.create_subprocess_exec(
        *(*HERALD, "drill", *arguments),
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def drill(folder: Path, *arguments: str) -> Ended:
    process = await started(folder, *arguments)
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    return Ended(process.returncode or 0, out.decode(), err.decode())
