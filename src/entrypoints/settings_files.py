"""The files that settings name: what would keep a process from starting, found before it starts."""

from collections.abc import Callable, Iterator
from pathlib import Path

from containers import Container
from domain.errors import HeraldError
from entrypoints.api_keys import keys_given, read_keys
from entrypoints.settings_model import Settings


def mistakes_in_files(settings: Settings) -> Iterator[str]:
    """A line for each of the keys file, the templates and the certificates that cannot be used."""
    container = Container(settings=settings)
    api_keys = settings.api.keys.get_secret_value()
    checks: dict[str, Callable[[], object]] = {
        "api.keys_file": lambda: read_keys(Path(settings.api.keys_file)) if settings.api.keys_file else None,
        "api.keys": lambda: keys_given(api_keys) if api_keys else None,
        "templates.directory": container.templates,
        "kafka.ssl": lambda: _certificates(container, settings),
    }
    for name, check in checks.items():
        try:
            check()
        except HeraldError as error:
            yield f"{name}: {error}"


def _certificates(container: Container, settings: Settings) -> None:
    if settings.broker.backend == "kafka":
        container.kafka_connection().client_options()
