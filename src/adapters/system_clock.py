"""The machine's clock."""

import asyncio
import time


class SystemClock:
    """Real time. The functions themselves, for several are asked for each message."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
