"""A FastStream subscriber that is measured: `python consumer.py JOB`, the job as JSON.

As its documentation shows one: a typed body, the broker's defaults, 64 workers. Prints messages, seconds and
CPU from the first thousand deliveries to the last thousand.
"""

import asyncio
import json
import sys
import time

from faststream import FastStream
from faststream.kafka import KafkaBroker
from pydantic import BaseModel

EDGE = 1_000


class Notification(BaseModel):
    request_id: str
    topic_name: str
    message_body: str | None = None
    transaction_id: str | None = None
    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    key: str | None = None


def serve(job: dict[str, object]) -> FastStream:
    # Its default, two log lines a message, would be most of what is measured.
    broker = KafkaBroker(str(job["kafka"]), logger=None)
    app = FastStream(broker, logger=None)
    count, seconds = int(str(job["count"])), float(str(job["answer_seconds"]))
    marks: list[tuple[float, float]] = []
    delivered = 0

    @broker.subscriber(
        str(job["topic"]), group_id=str(job["group"]), auto_offset_reset="earliest", max_workers=64
    )
    async def notify(message: Notification) -> None:  # noqa: ARG001 - what a provider would get
        nonlocal delivered
        if seconds:
            await asyncio.sleep(seconds)
        delivered += 1
        if delivered in {EDGE, count - EDGE}:
            marks.append((time.perf_counter(), time.process_time()))
        if delivered == count - EDGE:
            (began, cpu_began), (ended, cpu_ended) = marks
            result = {"messages": count - 2 * EDGE, "seconds": ended - began, "cpu": cpu_ended - cpu_began}
            sys.stdout.write(json.dumps(result) + "\n")
            app.exit()

    return app


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])).run())
