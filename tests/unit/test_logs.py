import asyncio
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.errors import HeraldError
from entrypoints.logs import ProcessLog, configure_logging
from entrypoints.settings_model import Logging

Start = Callable[..., ProcessLog]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts logs below the test's own directory and ends them with the test."""
    running: list[ProcessLog] = []

    def start(process: str = "api", secrets: tuple[str, ...] = (), **fields: Any) -> ProcessLog:
        settings = Logging(**{"file": str(tmp_path / "logs" / "herald-{process}.log"), **fields})
        running.append(configure_logging(settings, process, secrets))
        return running[-1]

    yield start
    for log in reversed(running):
        log.close()


def lines(log: ProcessLog) -> list[dict[str, Any]]:
    assert log.path is not None
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def the_line(log: ProcessLog) -> dict[str, Any]:
    (only,) = lines(log)
    return only


def test_a_line_is_one_json_object_with_time_level_logger_and_process(start: Start) -> None:
    log = start("consumer-email")

    logging.getLogger("herald.engine").info("Started", extra={"action": "started", "shards": 6})

    line = the_line(log)
    assert list(line) == ["time", "level", "logger", "message", "process", "pid", "action", "shards"]
    assert line["level"] == "INFO"
    assert line["logger"] == "herald.engine"
    assert line["message"] == "Started"
    assert line["process"] == "consumer-email"
    assert isinstance(line["pid"], int)
    assert (line["action"], line["shards"]) == ("started", 6)


def test_the_time_is_rfc_3339_in_utc_and_never_masked(start: Start) -> None:
    log = start()

    record = logging.makeLogRecord({"name": "herald", "levelno": 20, "msg": "x", "created": 1_800_000_000.25})
    logging.getLogger().handle(record)

    assert the_line(log)["time"] == "2027-01-15T08:00:00.250Z"


def test_the_process_name_is_filled_into_the_path(start: Start, tmp_path: Path) -> None:
    assert start("consumer-sms").path == tmp_path / "logs" / "herald-consumer-sms.log"


def test_a_second_process_of_a_name_gets_a_number_in_file_and_lines(start: Start, tmp_path: Path) -> None:
    first, second, third = start("api"), start("api"), start("api")
    logging.getLogger("herald").info("Started")

    assert [log.process for log in (first, second, third)] == ["api", "api-2", "api-3"]
    assert third.path == tmp_path / "logs" / "herald-api-3.log"
    assert the_line(third)["process"] == "api-3"


def test_a_number_is_free_again_when_its_process_is_gone(start: Start) -> None:
    start("api").close()

    assert start("api").process == "api"


def test_a_path_without_the_process_still_gives_each_process_its_own_file(
    start: Start, tmp_path: Path
) -> None:
    one, two = str(tmp_path / "one.log"), str(tmp_path / "one-2.log")

    assert str(start("api", file=one).path) == one
    assert str(start("inbox", file=one).path) == two


def test_addresses_and_numbers_are_masked_in_message_arguments_and_extras(start: Start) -> None:
    log = start()

    logging.getLogger("herald").warning(
        "No mail to %s",
        "ann@example.com",
        extra={"phone": "+15005550006", "nested": {"to": ["bob@example.com", ("x", b"+15005550007")]}},
    )

    text = log.path.read_text() if log.path else ""
    assert "example.com" not in text
    assert "1500555" not in text
    assert the_line(log)["message"] == "No mail to ***@***"
    assert the_line(log)["phone"] == "***"


def test_numbers_that_are_numbers_stay(start: Start) -> None:
    log = start()

    logging.getLogger("herald").info(
        "At", extra={"offset": 123456789, "seconds": 12345678.5, "ok": True, "no": None}
    )

    line = the_line(log)
    assert (line["offset"], line["seconds"], line["ok"], line["no"]) == (123456789, 12345678.5, True, None)


def test_a_traceback_is_masked_too(start: Start) -> None:
    log = start(secrets=("hunter2-hunter2",))

    try:
        int("ann@example.com logged in with hunter2-hunter2")
    except ValueError:
        logging.getLogger("herald").exception("Failed")

    line = the_line(log)
    assert "'***@*** logged in with ***'" in line["exc_info"]


def test_secrets_are_hidden_as_they_are_and_as_a_url_has_them(start: Start) -> None:
    log = start(secrets=("s3cret/with+signs",))

    logging.getLogger("herald").info("a s3cret/with+signs b s3cret%2Fwith%2Bsigns c")

    assert the_line(log)["message"] == "a *** b *** c"


def test_a_short_secret_is_hidden_only_where_it_stands_alone(start: Start) -> None:
    log = start(secrets=("local", ""))

    logging.getLogger("herald").info("token=local at localhost")

    assert the_line(log)["message"] == "token=*** at localhost"


def test_an_extra_cannot_replace_a_field_of_the_line(start: Start) -> None:
    log = start()

    logging.getLogger("herald").info("x", extra={"level": "high", "time": "now"})

    assert the_line(log)["level"] == "INFO"
    assert the_line(log)["time"] != "now"


def test_the_level_holds(start: Start) -> None:
    log = start(level="WARNING")

    logging.getLogger("herald").info("quiet")
    logging.getLogger("herald").warning("loud")

    assert the_line(log)["message"] == "loud"


@pytest.mark.parametrize("name", ["aiokafka", "aiokafka.producer", "httpx", "httpcore.http11", "mail"])
def test_libraries_that_would_tell_of_each_message_are_quiet_even_at_debug(start: Start, name: str) -> None:
    log = start(level="DEBUG")

    logging.getLogger(name).info("each message")
    logging.getLogger(name).warning("trouble")

    assert the_line(log)["message"] == "trouble"


@pytest.mark.parametrize("name", ["uvicorn.error", "litestar", "asyncio", "aiokafka"])
def test_the_lines_of_libraries_go_the_same_way_once(start: Start, name: str) -> None:
    library = logging.getLogger(name)
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    log = start()

    library.error("from a library", extra={"color_message": "\x1b[1mfrom a library"})

    assert the_line(log)["logger"] == name
    assert "color_message" not in the_line(log)


def test_warnings_of_python_go_to_the_log(start: Start) -> None:
    log = start()

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)

    assert the_line(log)["logger"] == "py.warnings"


def test_an_uncaught_error_is_logged_and_the_screen_gets_one_line(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    log = start()

    sys.excepthook(ValueError, ValueError("ann@example.com"), None)

    assert the_line(log)["action"] == "crashed"
    assert capsys.readouterr().err == f"Error: internal error (ValueError); see {log.path}\n"


def test_an_uncaught_error_of_a_thread_is_logged(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    log = start()

    thread = threading.Thread(target=[].pop)
    thread.start()
    thread.join()

    assert the_line(log)["action"] == "crashed"
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_is_no_error(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    log = start()

    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert lines(log) == []
    assert capsys.readouterr().err == ""


def test_what_asyncio_finds_in_a_forgotten_task_is_logged(start: Start) -> None:
    log = start()

    loop = asyncio.new_event_loop()
    loop.call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": ValueError("x")}
    )
    loop.close()

    assert the_line(log)["logger"] == "asyncio"


def test_a_full_file_is_set_aside_and_only_so_many_are_kept(start: Start) -> None:
    log = start(rotate_bytes=1024, rotate_backups=2)

    for _ in range(40):
        logging.getLogger("herald").info("x" * 200)

    assert log.path is not None
    found = sorted(path.name for path in log.path.parent.glob("*.log*") if not path.name.startswith("."))
    assert found == ["herald-api.log", "herald-api.log.1", "herald-api.log.2"]
    assert max(path.stat().st_size for path in log.path.parent.iterdir()) <= 1024


def test_a_directory_that_cannot_be_written_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file where the directory should be")

    with pytest.raises(
        HeraldError, match=r"herald-api.log cannot be written \(File exists\): .* logging.file$"
    ):
        start()


def test_a_log_file_that_cannot_be_opened_is_one_clear_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "logs" / "herald-api.log").mkdir(parents=True)

    with pytest.raises(HeraldError, match=r"herald-api.log cannot be written \(Is a directory\)"):
        start()


def test_a_log_that_fails_later_is_told_once_and_again_after_it_worked(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = start(rotate_bytes=1024, rotate_backups=1)
    logging.getLogger("herald").info("x" * 900)
    aside = tmp_path / "logs" / "herald-api.log.1"
    (aside / "in-the-way").mkdir(parents=True)

    for _ in range(3):
        logging.getLogger("herald").info("x" * 900)
    told = capsys.readouterr().err
    (aside / "in-the-way").rmdir()
    aside.rmdir()
    logging.getLogger("herald").info("works again")

    assert told.count("\n") == 1
    assert "cannot be written" in told
    assert lines(log)[-1]["message"] == "works again"


def test_a_line_that_cannot_be_formatted_ends_nothing(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    log = start()

    logging.getLogger("herald").info("%d", "no number")
    logging.getLogger("herald").info("next")

    assert the_line(log)["message"] == "next"
    assert "Traceback" not in capsys.readouterr().err


def test_without_a_file_the_lines_go_to_stderr(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    log = start(file="")

    logging.getLogger("herald").info("Started")

    assert log.path is None
    assert json.loads(capsys.readouterr().err)["message"] == "Started"


def test_closing_leaves_logging_as_it_was(start: Start) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)

    start().close()

    assert (root.handlers[:], root.level, sys.excepthook, threading.excepthook) == before
