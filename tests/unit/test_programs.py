import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.memory import MemoryTopicCatalog
from entrypoints.programs import Programs
from entrypoints.settings import Loaded, Settings, load_settings
from entrypoints.settings_model import Broker


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on already."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def settings_with(backend: str, taken: int, tmp_path: Path) -> Loaded:
    assignments = [
        f"broker.backend={backend}",
        f"logging.file={tmp_path}/herald-{{process}}.log",
        f"sqlite.path={tmp_path}/herald.db",
        f"api.port={taken}",
        f"consumer.port={taken}",
        "inbox.smtp_port=0",
        "inbox.sms_port=0",
        f"inbox.http_port={taken}",
    ]
    return load_settings(None, assignments, {}, tmp_path)


# A port in use is the one end that all of them come to without a signal.
@pytest.mark.parametrize(
    ("start", "process", "backend"),
    [
        (lambda loaded: Programs().run(loaded, []), "run", "sqlite"),
        (lambda loaded: Programs().api(loaded, None), "api", "memory"),
        (lambda loaded: Programs().consumer(loaded, "email", None), "consumer-email", "memory"),
        (lambda loaded: Programs().inbox(loaded, None), "inbox", "memory"),
    ],
)
def test_each_program_starts_its_own_log_and_ends_with_one_line_when_its_port_is_taken(
    start: Callable[[Loaded], int],
    process: str,
    backend: str,
    taken: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = start(settings_with(backend, taken, tmp_path))

    said = capsys.readouterr().err
    assert code == 1
    assert said.startswith(f"Error: port {taken} on 127.0.0.1 is in use")
    assert said.count("\n") == 1
    assert (tmp_path / f"herald-{process}.log").exists()


def test_the_topics_are_those_of_the_log_that_the_settings_name() -> None:
    catalog = Programs().topic_catalog(Settings(broker=Broker(backend="memory")))

    assert isinstance(catalog, MemoryTopicCatalog)
