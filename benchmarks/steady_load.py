"""An open loop into the log: `python -m benchmarks.steady_load JOB`, the job as JSON.

Each message is appended when it is due, whatever became of those before it, and says in `transaction_id`
since when it is due; the hot key's say nothing, for nobody asks how long they waited. Prints how late the
latest was handed over, so that a load generator that could not keep up can be told, and how busy it was.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

from adapters.message_json import request_of
from benchmarks.fill import notification
from benchmarks.site import Site
from domain.message import Message

_TICK_SECONDS = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`rate`: messages a second, each under the next of `keys` keys. `hot_rate`: more, under one key.

    The hot key's begin at `hot_from` seconds and last for `hot_seconds`; 0: as long as the others.
    """

    site: Site
    rate: float
    seconds: float
    keys: int
    hot_rate: float = 0.0
    hot_from: float = 0.0
    hot_seconds: float = 0.0


class Due(NamedTuple):
    """When, after the beginning, and which."""

    seconds: float
    number: int
    is_hot: bool


def schedule(load: Load) -> Iterator[Due]:
    """The messages in the order in which they are due."""
    others = round(load.rate * load.seconds)
    hot = round(load.hot_rate * (load.hot_seconds or load.seconds - load.hot_from))
    return merge(
        (Due(number / load.rate, number, is_hot=False) for number in range(others)),
        (Due(load.hot_from + number / load.hot_rate, number, is_hot=True) for number in range(hot)),
    )


def _message(due: Due, began: float, load: Load) -> Message:
    if due.is_hot:
        message = notification(due.number, "hot", load.site.topic)
        return message._replace(request_id=f"hot-{due.number}", transaction_id=None)
    message = notification(due.number, f"customer-{due.number % load.keys}", load.site.topic)
    return message._replace(transaction_id=repr(began + due.seconds))


async def _run(load: Load) -> dict[str, float]:
    container = load.site.container()
    produce = container.produce()
    async with container.publisher() as publisher:
        while await publisher.unready():  # noqa: ASYNC110 - the port has no event for it
            await asyncio.sleep(0.05)
        upcoming, appends, late = deque(schedule(load)), [], 0.0
        gc.collect()
        gc.disable()  # a pause of the load generator's would be counted as Herald's
        cpu, began = time.process_time(), time.monotonic()
        while upcoming:
            await asyncio.sleep(_TICK_SECONDS)
            due = _due(upcoming, time.monotonic() - began)
            messages = [request_of(_message(one, began, load)) for one in due]
            appends.append(asyncio.create_task(produce.many(messages)))
            late = max([late, *(time.monotonic() - began - one.seconds for one in due)])
        await asyncio.gather(*appends)
    return {"late_seconds": late, "load": (time.process_time() - cpu) / load.seconds}


def _due(upcoming: deque[Due], seconds: float) -> list[Due]:
    due = []
    while upcoming and upcoming[0].seconds <= seconds:
        due.append(upcoming.popleft())
    return due


if __name__ == "__main__":
    fields = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(_run(Load(**{**fields, "site": Site(**fields["site"])})))))
