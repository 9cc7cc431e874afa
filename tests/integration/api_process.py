"""An API on SQLite as a process, for the tests: `api_process.py PATH SYNCHRONOUS`.

It prints its port once it answers. The publisher is swapped in the container, as one override.
"""

import asyncio
import sys
from pathlib import Path

from dependency_injector import providers

from adapters.sqlite_publisher import SqlitePublisher
from containers import Container
from entrypoints.api_process import ApiProcess
from entrypoints.child_process import ParentLink
from entrypoints.listening import listen_on, port_of
from entrypoints.settings_model import Settings, Sqlite


def main(path: str, synchronous: str) -> None:
    container = Container(settings=Settings(sqlite=Sqlite(path=path)))
    container.publisher.override(
        providers.Singleton(SqlitePublisher, Path(path), 8.0, synchronous=synchronous)
    )
    with listen_on("127.0.0.1", 0, "[api] port") as listener:
        sys.stdout.write(f"{port_of(listener)}\n")
        sys.stdout.flush()
        asyncio.run(ApiProcess(container, listener, ParentLink(None)).run(""))


if __name__ == "__main__":
    main(*sys.argv[1:])
