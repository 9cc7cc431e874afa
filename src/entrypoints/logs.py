"""The log of one process: JSON lines in a file of its own, rotated, with nothing personal or secret in it."""

import fcntl
import logging
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from domain.errors import HeraldError
from domain.personal_data import mask

if TYPE_CHECKING:
    from entrypoints.settings_model import Logging

HIDDEN = "***"
_WHOLE_WORD_BELOW = 8  # characters; a shorter secret is hidden only where it stands alone
_MOST_OF_A_NAME = 1000
# At INFO these tell of each request or mail, at DEBUG of keys, values, addresses and credentials.
_QUIET = ("aiokafka", "aiosmtplib", "asyncio", "httpcore", "httpx", "mail", "uvicorn.access")
_OWN_HANDLERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "litestar", "aiokafka")

logger = logging.getLogger("herald.process")


@dataclass(slots=True)
class ProcessLog:
    """The log in force. `process` may have got a number; `path` is None when it goes to stderr."""

    process: str
    path: Path | None
    _undo: ExitStack = field(default_factory=ExitStack)

    def close(self) -> None:
        """Leaves logging as it was before."""
        self._undo.close()


class MaskedJsonFormatter(JsonFormatter):
    """One JSON object a line. Texts are masked; numbers and the line's own fields stay as they are."""

    def __init__(self, process: str, secrets: Sequence[str] = ()) -> None:
        # `color_message` is uvicorn's: the message again, for terminals.
        reserved = [*RESERVED_ATTRS, "color_message"]
        super().__init__("%(message)s", reserved_attrs=reserved, json_ensure_ascii=False)
        self._process = process
        self._secrets = _pattern(secrets)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        said: dict[str, Any] = {}
        super().add_fields(said, record, message_dict)
        log_data["time"] = _rfc3339(record.created)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        log_data["message"] = self._masked(said.pop("message", ""))
        log_data["process"] = self._process
        log_data["pid"] = record.process
        for name, value in said.items():
            log_data.setdefault(name, self._masked(value))

    def _masked(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping):
            return {self._masked_text(str(key)): self._masked(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._masked(item) for item in value]
        return self._masked_text(str(value))

    def _masked_text(self, text: str) -> str:
        return mask(self._secrets.sub(HIDDEN, text) if self._secrets else text)


def _pattern(secrets: Sequence[str]) -> re.Pattern[str] | None:
    """Matches the secrets, as they are and as a URL has them; the longest first."""
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}
    words = [
        re.escape(form) if len(form) >= _WHOLE_WORD_BELOW else rf"(?<!\w){re.escape(form)}(?!\w)"
        for form in sorted(forms, key=lambda form: (-len(form), form))
    ]
    return re.compile("|".join(words)) if words else None


def _rfc3339(seconds: float) -> str:
    time = datetime.fromtimestamp(seconds, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _LogFile(RotatingFileHandler):
    """A full disk costs lines, never the process; the screen hears of it once until it is over."""

    _failures = 0

    def emit(self, record: logging.LogRecord) -> None:
        failures = self._failures
        super().emit(record)
        if self._failures == failures:
            self._failures = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's signature
        self._failures += 1
        if self._failures == 1:
            reason = _reason(sys.exc_info()[1])
            say(f"the log {self.baseFilename} cannot be written ({reason}): lines are lost")


def say(text: str) -> None:
    """One line for a person, on stderr."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"Error: {text}\n")
        sys.stderr.flush()


def _reason(error: BaseException | None) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def configure_logging(settings: "Logging", process: str, secrets: Sequence[str] = ()) -> ProcessLog:
    """Sends all that this process logs to its file, or to stderr when no file is set.

    `process` is "api", "consumer-email", …; while another process of that name runs, this one gets "-2"
    and so on. `secrets` are hidden wherever they appear. Raises `HeraldError` when the file cannot be
    written.
    """
    with ExitStack() as undo:
        name, path = _own_name(settings.file, process, undo) if settings.file else (process, None)
        handler = _file_handler(path, settings) if path else logging.StreamHandler()
        undo.callback(handler.close)
        handler.setFormatter(MaskedJsonFormatter(name, secrets))
        _route_everything_to(handler, settings.level, undo)
        _catch_the_uncaught(path, undo)
        return ProcessLog(name, path, undo.pop_all())


def _own_name(pattern: str, process: str, undo: ExitStack) -> tuple[str, Path]:
    """The first name whose lock is free. The kernel frees a lock when its holder dies, however it dies."""
    for number in range(1, _MOST_OF_A_NAME):
        name = process if number == 1 else f"{process}-{number}"
        path = _path_of(pattern, name, number)
        if _locks(path, undo):
            return name, path
    raise HeraldError(f"more than {_MOST_OF_A_NAME} processes named {process} are running: stop some")


def _path_of(pattern: str, name: str, number: int) -> Path:
    path = Path(pattern.replace("{process}", name))
    if "{process}" in pattern or number == 1:
        return path
    return path.with_stem(f"{path.stem}-{number}")


def _locks(path: Path, undo: ExitStack) -> bool:
    """Whether this process may write `path`. The lock is a file beside it, for rotation renames the log."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as closing:
            lock = closing.enter_context(path.with_name(f".{path.name}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            undo.push(closing.pop_all())
    except BlockingIOError:
        return False
    except OSError as error:
        raise _not_writable(path, error) from error
    return True


def _file_handler(path: Path, settings: "Logging") -> logging.Handler:
    try:
        return _LogFile(
            path,
            maxBytes=settings.rotate_bytes,
            backupCount=settings.rotate_backups,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> HeraldError:
    return HeraldError(
        f"the log file {path} cannot be written ({_reason(error)}): "
        "let this user write there, or set logging.file"
    )


def _route_everything_to(handler: logging.Handler, level: str, undo: ExitStack) -> None:
    root = logging.getLogger()
    undo.callback(_restore, root, root.handlers[:], root.level, root.propagate)
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in {*_OWN_HANDLERS, *_QUIET}:
        library = logging.getLogger(name)
        undo.callback(_restore, library, library.handlers[:], library.level, library.propagate)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(root.level, logging.WARNING) if name in _QUIET else logging.NOTSET)
    logging.captureWarnings(capture=True)
    undo.callback(logging.captureWarnings, capture=False)


def _restore(target: logging.Logger, handlers: list[logging.Handler], level: int, propagate: bool) -> None:  # noqa: FBT001 - undoes an assignment
    target.handlers[:] = handlers
    target.propagate = propagate
    target.setLevel(level)


def _catch_the_uncaught(path: Path | None, undo: ExitStack) -> None:
    """What asyncio finds in forgotten tasks it logs by itself."""
    undo.callback(setattr, sys, "excepthook", sys.excepthook)
    undo.callback(setattr, threading, "excepthook", threading.excepthook)
    sys.excepthook = lambda _kind, error, _trace: log_crash(error, path)
    threading.excepthook = lambda args: log_crash(args.exc_value, path)


def log_crash(error: BaseException | None, path: Path | None) -> None:
    """An error nobody expected: all of it for the log, one line for the screen."""
    if error is None or isinstance(error, KeyboardInterrupt):
        return
    logger.critical("An unexpected error", extra={"action": "crashed"}, exc_info=error)
    say(f"internal error ({type(error).__name__}); see {path or 'the log'}")
