"""What `herald doctor` says of the settings: mistakes, origins, and who can read what is secret."""

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from domain.diagnosis import Finding, ok, warning, wrong
from domain.errors import HeraldError
from entrypoints.api_keys import keys_given, read_keys
from entrypoints.settings import DEFAULT, Loaded, SettingsError, value_of
from entrypoints.settings_contradictions import is_loopback
from entrypoints.settings_files import mistakes_in_files
from entrypoints.settings_model import Api, Settings

SETTINGS, SECRETS, API = "settings", "secrets", "api"
_ENVIRONMENT, _FILE, _SET = "environment ", "_FILE", "--set"


def mistakes_found(error: SettingsError) -> Iterator[Finding]:
    """A finding for each mistake, also in the files that the right ones name."""
    for mistake in (*error.mistakes, *mistakes_in_files(error.right)):
        yield wrong(
            SETTINGS, mistake, "mend it where it was made; docs/reference/settings.md has every setting"
        )


def settings_findings(loaded: Loaded, environ: Mapping[str, str], directory: Path) -> Iterator[Finding]:
    """Of settings that hold together. `directory`: what paths in them are relative to."""
    if mistakes := list(mistakes_in_files(loaded.settings)):
        yield from (wrong(SETTINGS, mistake) for mistake in mistakes)
    else:
        yield ok(SETTINGS, _where_from(loaded))
    yield from _secrets(loaded, environ, directory)
    yield _api(loaded.settings.api)


def _where_from(loaded: Loaded) -> str:
    given = {name: origin for name, origin in loaded.origins.items() if origin != DEFAULT}
    if not given:
        return "right; none is given, all are at their defaults"
    places = dict.fromkeys("environment" if o.startswith(_ENVIRONMENT) else o for o in given.values())
    rest = len(loaded.origins) - len(given)
    return f"right; {len(given)} given ({', '.join(places)}), {rest} at their defaults"


def _api(api: Api) -> Finding:
    if is_loopback(api.host):
        return ok(API, f"listens on {api.host}, which only this machine reaches")
    if api.asks_for_keys():
        given = api.keys.get_secret_value()
        try:
            keys = len(keys_given(given) if given else read_keys(Path(api.keys_file)))
        except HeraldError as error:
            return wrong(API, str(error))
        place = "api.keys" if given else api.keys_file
        return ok(API, f"listens on {api.host} and asks for keys ({keys} in {place})")
    says = f"listens on {api.host} and asks for no keys: who reaches it can send mails and texts"
    return warning(API, says, "set api.keys_file, or see that only your own services reach it")


# Who can read what is secret -------------------------------------------------------------------


def _secrets(loaded: Loaded, environ: Mapping[str, str], directory: Path) -> Iterator[Finding]:
    found = [finding for what, path in _files(loaded, environ, directory) for finding in _rights(what, path)]
    on_command_line = [name for name, origin in _given_secrets(loaded) if origin == _SET]
    if on_command_line:
        says = f"{', '.join(on_command_line)} by --set: every user of this machine sees a command line"
        found.append(warning(SECRETS, says, "give it by a file: HERALD_SECTION__FIELD_FILE=PATH"))
    yield from found or [ok(SECRETS, "nobody else can read or change the files that hold them")]


def _given_secrets(loaded: Loaded) -> Iterator[tuple[str, str]]:
    for name, origin in loaded.origins.items():
        value = value_of(loaded.settings, name)
        if isinstance(value, SecretStr) and value.get_secret_value() and origin != DEFAULT:
            yield name, origin


def _files(loaded: Loaded, environ: Mapping[str, str], directory: Path) -> Iterator[tuple[str, Path]]:
    """What is secret in each file, and where that is; a file is named once."""
    files: dict[Path, str] = {}
    for name, origin in _given_secrets(loaded):
        if origin.startswith(_ENVIRONMENT) and origin.endswith(_FILE):
            files.setdefault(directory / environ[origin.removeprefix(_ENVIRONMENT)], name)
        elif not origin.startswith(_ENVIRONMENT) and origin != _SET:
            files.setdefault(directory / origin, name)
    for name, path in _named(loaded.settings):
        if path:
            files.setdefault(directory / path, name)
    yield from ((name, path) for path, name in files.items())


def _named(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "api.keys_file", settings.api.keys_file
    if settings.broker.backend == "kafka":
        yield "kafka.ssl_key_file", settings.kafka.ssl_key_file


def _rights(what: str, path: Path) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # the settings' own line says that it is not there
    if mode & stat.S_IWOTH:
        says = f"every user of this machine can change {path} ({what})"
        yield wrong(SECRETS, says, f"chmod o-rwx {path}")
    elif mode & stat.S_IROTH and _is_open_to_others(path):
        says = f"every user of this machine can read {path} ({what})"
        yield warning(SECRETS, says, f"chmod o-r {path}")


def _is_open_to_others(path: Path) -> bool:
    """Whether others may go through all the folders above."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)
