"""The produce API as one would write it with FastAPI and aiokafka: `uvicorn main:app`.

`KAFKA_BOOTSTRAP_SERVERS`: where the brokers are. `LINGER_MS`: how long a batch waits, 2 if absent.
"""

import asyncio
import logging
import logging.config
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import AwareDatetime, BaseModel, EmailStr, Field, model_validator

logger = logging.getLogger("produce_api")


class Notification(BaseModel):
    """What a client may send."""

    request_id: str = Field(default_factory=lambda: str(uuid.uuid4()), max_length=128)
    topic_name: str = Field(max_length=249)
    message_body: str | None = Field(default=None, max_length=10_000)
    transaction_id: str | None = Field(default=None, max_length=256)
    customer_id: str | None = Field(default=None, max_length=256)
    email: EmailStr | None = None
    phone: str | None = Field(default=None, pattern=r"^\+[1-9][0-9]{6,14}$")
    key: str | None = Field(default=None, max_length=256)
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def has_an_address(self) -> "Notification":
        if not (self.email or self.phone):
            raise ValueError("email or phone is required")
        return self


class Accepted(BaseModel):
    """What it is answered once the brokers have it."""

    request_id: str
    topic_name: str
    partition: int
    offset: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": "pythonjsonlogger.json.JsonFormatter",
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s",
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"level": "INFO", "handlers": ["stderr"]},
        }
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        acks="all",
        linger_ms=int(os.environ.get("LINGER_MS", "2")),
    )
    await producer.start()
    app.state.producer = producer
    logger.info("Producer started")
    yield
    await producer.stop()
    logger.info("Producer stopped")


app = FastAPI(lifespan=lifespan)


async def the_producer(request: Request) -> AIOKafkaProducer:
    return request.app.state.producer


Producer = Annotated[AIOKafkaProducer, Depends(the_producer)]


def record(notification: Notification) -> dict[str, bytes | None]:
    """Key and value as the consumers expect them; the partition is chosen by the key."""
    return {
        "key": notification.key.encode() if notification.key else None,
        "value": notification.model_dump_json(exclude_none=True).encode(),
    }


def accepted(notification: Notification, metadata: RecordMetadata) -> Accepted:
    return Accepted(
        request_id=notification.request_id,
        topic_name=metadata.topic,
        partition=metadata.partition,
        offset=metadata.offset,
    )


@app.post("/api/v1/produce", status_code=202)
async def produce(notification: Notification, producer: Producer, response: Response) -> Accepted:
    try:
        metadata = await producer.send_and_wait(notification.topic_name, **record(notification))
    except KafkaError as error:
        logger.exception("Kafka did not take a message")
        raise HTTPException(503, "Kafka did not take the message") from error
    response.headers["Location"] = f"/api/v1/messages/{notification.request_id}"
    return accepted(notification, metadata)


@app.post("/api/v1/produce/batch", status_code=202)
async def produce_batch(notifications: list[Notification], producer: Producer) -> list[Accepted]:
    try:
        sent = [await producer.send(one.topic_name, **record(one)) for one in notifications]
        metadata = await asyncio.gather(*sent)
    except KafkaError as error:
        logger.exception("Kafka did not take a batch")
        raise HTTPException(503, "Kafka did not take all of the messages") from error
    return [accepted(one, where) for one, where in zip(notifications, metadata, strict=True)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
