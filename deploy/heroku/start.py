"""Runs a command of Herald's in a Heroku dyno: `python deploy/heroku/start.py consumer email`.

A dyno has an environment and no files, its own names for things, and the libraries of requirements.txt
without Herald itself. So: `$PORT` is where the API listens; what the Kafka add-on gives (`KAFKA_URL`, and
certificates as texts) becomes settings, the certificates as files that only this dyno's user can read; and
the modules are found in the checkout. What is given as HERALD_... counts more than what is made here.
"""

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).absolute().parents[2]
CERTIFICATES = {
    "KAFKA_TRUSTED_CERT": "HERALD_KAFKA__SSL_CA_FILE",
    "KAFKA_CLIENT_CERT": "HERALD_KAFKA__SSL_CERT_FILE",
    "KAFKA_CLIENT_CERT_KEY": "HERALD_KAFKA__SSL_KEY_FILE",
}


def settings(environ: Mapping[str, str], command: Sequence[str], directory: Path) -> dict[str, str]:
    """What Herald is to find in its environment besides. `directory`: for the certificates.

    Raises `ValueError` with what is wrong and what to do.
    """
    # The log's lines go to the dyno's. On a dyno's disk, neither shared nor kept, SQLite would lose messages.
    made = {"HERALD_LOGGING__FILE": "", "HERALD_BROKER__BACKEND": "kafka"}
    if command[:1] == ["api"] and "PORT" in environ:
        made |= {"HERALD_API__HOST": "0.0.0.0", "HERALD_API__PORT": environ["PORT"]}
    if "KAFKA_URL" in environ and "HERALD_KAFKA__BOOTSTRAP_SERVERS" not in environ:
        made |= _add_on(environ, directory)
    return {name: value for name, value in made.items() if name not in environ}


def _add_on(environ: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Settings for Apache Kafka on Heroku."""
    brokers = [urlsplit(url.strip()) for url in environ["KAFKA_URL"].split(",")]
    schemes = {broker.scheme for broker in brokers}
    if schemes not in ({"kafka+ssl"}, {"kafka"}) or not all(broker.netloc for broker in brokers):
        raise ValueError("KAFKA_URL must be kafka+ssl://HOST:PORT, or several with commas between them")
    made = {"HERALD_KAFKA__BOOTSTRAP_SERVERS": ",".join(broker.netloc for broker in brokers)}
    if prefix := environ.get("KAFKA_PREFIX"):
        made["HERALD_KAFKA__GROUP_PREFIX"] = f"{prefix}herald-"
    if schemes == {"kafka"}:
        return made
    missing = [name for name in CERTIFICATES if not environ.get(name)]
    if missing:
        raise ValueError(
            f"KAFKA_URL asks for TLS, and {', '.join(missing)} is not set: attach the add-on anew"
        )
    for given, setting in CERTIFICATES.items():
        file = directory / f"{given.lower()}.pem"
        file.touch(mode=0o600)
        file.write_text(environ[given], encoding="utf-8")
        made[setting] = str(file)
    # Its brokers' certificates do not have the names in KAFKA_URL: what counts is who gave them.
    return made | {"HERALD_KAFKA__SECURITY_PROTOCOL": "SSL", "HERALD_KAFKA__SSL_CHECK_HOSTNAME": "false"}


def main(command: Sequence[str]) -> None:
    environ = dict(os.environ)
    try:
        environ |= settings(environ, command, Path(tempfile.mkdtemp(prefix="herald-")))
    except (OSError, ValueError) as error:
        sys.exit(f"Error: {error}")
    environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    # In this process's place, so that the dyno's SIGTERM reaches Herald itself.
    os.execve(sys.executable, [sys.executable, "-m", "entrypoints.cli", *command], environ)  # noqa: S606 - see above


if __name__ == "__main__":
    main(sys.argv[1:])
