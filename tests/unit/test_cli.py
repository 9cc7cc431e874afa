import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.errors import HeraldError
from domain.ports import TopicCatalog
from entrypoints.cli import herald, main
from entrypoints.cli_options import Invocation
from entrypoints.programs import Programs
from entrypoints.settings import Loaded, Settings
from entrypoints.settings_sources import known_fields
from entrypoints.version import herald_version

GROUP_IS_WRONG = (
    "Invalid value for '{email|sms}': 'fax' is not one of 'email', 'sms'; see 'herald consumer --help'"
)
ROOT = Path(__file__).parents[2]


class KeptPrograms(Programs):
    """Keeps what it was asked to start; `fails` is raised instead of an exit code."""

    def __init__(self) -> None:
        self.started: list[tuple[object, ...]] = []
        self.loaded: Loaded | None = None
        self.fails: BaseException | None = None
        self.exit_code = 0

    def _start(self, loaded: Loaded, *what: object) -> int:
        self.loaded = loaded
        self.started.append(what)
        if self.fails:
            raise self.fails
        return self.exit_code

    def run(self, loaded: Loaded, arguments: Sequence[str]) -> int:
        return self._start(loaded, "run", *arguments)

    def api(self, loaded: Loaded, supervised_by: int | None) -> int:
        return self._start(loaded, "api", supervised_by)

    def consumer(self, loaded: Loaded, group: str, supervised_by: int | None) -> int:
        return self._start(loaded, "consumer", group, supervised_by)

    def inbox(self, loaded: Loaded, supervised_by: int | None) -> int:
        return self._start(loaded, "inbox", supervised_by)

    def topic_catalog(self, settings: Settings) -> TopicCatalog:
        raise NotImplementedError


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def programs() -> KeptPrograms:
    return KeptPrograms()


@pytest.fixture
def call(programs: KeptPrograms, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs one command line in the test's own directory, with an environment of the test's own."""

    def call(*arguments: str, **environ: str) -> Said:
        environ.setdefault("HERALD_LOGGING__FILE", str(tmp_path / "herald-{process}.log"))
        code = main(arguments, Invocation(programs, environ, tmp_path))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call


Call = Callable[..., Said]


def test_the_help_lists_exactly_the_commands_there_are(call: Call) -> None:
    said = call("--help")

    assert said.code == 0
    assert sorted(herald.commands) == [
        "api",
        "completion",
        "config",
        "consumer",
        "dead-letters",
        "doctor",
        "drill",
        "health",
        "inbox",
        "lag",
        "run",
        "status",
        "topics",
    ]
    assert all(f"\n  {name} " in said.out for name in herald.commands)


@pytest.mark.parametrize(
    "command",
    [
        ("run",),
        ("api",),
        ("consumer",),
        ("inbox",),
        ("topics", "list"),
        ("topics", "apply"),
        ("config", "show"),
        ("config", "check"),
        ("drill",),
        ("doctor",),
    ],
)
def test_the_help_of_every_command_has_its_options_and_an_example(
    call: Call, command: tuple[str, ...]
) -> None:
    said = call(*command, "--help")

    assert said.code == 0
    assert "--config PATH" in said.out
    assert "--set SECTION.FIELD=VALUE" in said.out
    assert f"Example:\n  {' '.join(('herald', *command))}" in said.out.replace("HERALD_API__PORT=9000 ", "")
    assert "supervised" not in said.out


@pytest.mark.parametrize("command", [(), ("topics",), ("config",)])
def test_without_a_command_the_help_is_shown_as_wrong_usage(call: Call, command: tuple[str, ...]) -> None:
    said = call(*command)

    assert said.code == 2
    assert said.out == ""
    assert said.err.startswith(f"{' '.join(('herald', *command))} - ")
    assert f"\nUsage: {' '.join(('herald', *command))} " in said.err


def test_the_version_is_printed(call: Call) -> None:
    assert call("--version") == Said(0, f"herald {herald_version()}\n", "")


@pytest.mark.parametrize(
    ("command", "started"),
    [
        (("api",), ("api", None)),
        (("api", "--supervised-by", "7"), ("api", 7)),
        (("consumer", "email"), ("consumer", "email", None)),
        (("consumer", "sms", "--supervised-by", "7"), ("consumer", "sms", 7)),
        (("inbox",), ("inbox", None)),
        (("inbox", "--supervised-by", "7"), ("inbox", 7)),
        (("run",), ("run",)),
    ],
)
def test_a_command_starts_its_program(
    call: Call, programs: KeptPrograms, command: tuple[str, ...], started: tuple[object, ...]
) -> None:
    said = call(*command)

    assert said == Said(0, "", "")
    assert programs.started == [started]


def test_the_program_gets_the_settings_of_options_environment_and_file(
    call: Call, programs: KeptPrograms, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").write_text("[api]\nport = 1\n[smtp]\nport = 1")

    call("api", "--config", "my.toml", "--set", "smtp.port=3", HERALD_SMS__SENDER="Herald")

    assert programs.loaded is not None
    settings = programs.loaded.settings
    assert (settings.api.port, settings.smtp.port, settings.sms.sender) == (1, 3, "Herald")


def test_run_gets_the_options_to_hand_on_to_its_children(
    call: Call, programs: KeptPrograms, tmp_path: Path
) -> None:
    (tmp_path / "my.toml").touch()

    call("run", "--set", "api.port=1", "--config", "my.toml", "--set", "smtp.port=3")

    assert programs.started == [("run", "--config", "my.toml", "--set", "api.port=1", "--set", "smtp.port=3")]


def test_the_exit_code_is_the_program_s(call: Call, programs: KeptPrograms) -> None:
    programs.exit_code = 1

    assert call("api").code == 1


@pytest.mark.parametrize("command", [("run",), ("api",), ("consumer", "email")])
def test_processes_cannot_share_a_log_in_memory(
    call: Call, programs: KeptPrograms, command: tuple[str, ...]
) -> None:
    said = call(*command, "--set", "broker.backend=memory")

    assert said.code == 1
    assert said.err == (
        "Error: broker.backend = memory lives inside one process, "
        "so the API's messages never reach a consumer: set it to sqlite or kafka\n"
    )
    assert programs.started == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nonsense",), "No such command 'nonsense'; see 'herald --help'"),
        (("api", "--nonsense"), "No such option '--nonsense'; see 'herald api --help'"),
        (("dead",), "No such command 'dead'. Did you mean 'dead-letters'? See 'herald --help'"),
        (("replay",), "No such command 'replay'. Did you mean 'dead-letters replay'? See 'herald --help'"),
        (("consumr",), "No such command 'consumr'. Did you mean 'consumer'? See 'herald --help'"),
        (("lag", "--jsn"), "No such option '--jsn'. Did you mean '--json'? See 'herald lag --help'"),
        (("rnu",), "No such command 'rnu'. Did you mean 'run'? See 'herald --help'"),
        (
            ("consumer", "fax"),
            GROUP_IS_WRONG,
        ),
        (
            ("consumer",),
            "Missing argument '{email|sms}'. Choose from: email, sms; see 'herald consumer --help'",
        ),
        (
            ("api", "--set", "api.port"),
            "Invalid value for '--set': 'api.port' is not section.field=value; see 'herald api --help'",
        ),
        (
            ("api", "--set", "=9000"),
            "Invalid value for '--set': '=9000' is not section.field=value; see 'herald api --help'",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(call: Call, arguments: tuple[str, ...], line: str) -> None:
    assert call(*arguments) == Said(2, "", f"Error: {line}\n")


def test_an_error_that_was_foreseen_is_one_line_and_exit_code_1(call: Call, programs: KeptPrograms) -> None:
    programs.fails = HeraldError("port 8080 is in use: stop what listens there")

    assert call("api") == Said(1, "", "Error: port 8080 is in use: stop what listens there\n")


def test_an_error_nobody_foresaw_is_one_line_and_its_traceback_is_in_the_log(
    call: Call, programs: KeptPrograms, tmp_path: Path
) -> None:
    programs.fails = RuntimeError("ann@example.com knows hunter2")

    said = call("api", HERALD_SMTP__USERNAME="u", HERALD_SMTP__PASSWORD="hunter2")

    log = tmp_path / "herald-cli.log"
    line = json.loads(log.read_text())
    assert said == Said(1, "", f"Error: internal error (RuntimeError); see {log}\n")
    assert line["action"] == "crashed"
    assert "RuntimeError: ***@*** knows ***" in line["exc_info"]


def test_an_error_nobody_foresaw_is_told_even_where_no_log_can_be_written(
    call: Call, programs: KeptPrograms, tmp_path: Path
) -> None:
    programs.fails = RuntimeError("x")
    (tmp_path / "file").touch()

    said = call("api", HERALD_LOGGING__FILE=str(tmp_path / "file" / "x.log"))

    assert said.code == 1
    assert said.err.startswith("Error: internal error (RuntimeError), and the log file ")
    assert said.err.count("\n") == 1


def test_ctrl_c_ends_without_a_traceback(call: Call, programs: KeptPrograms) -> None:
    programs.fails = KeyboardInterrupt()

    said = call("api")

    assert said.code == 1
    assert said.err.strip() == ""


def test_mistakes_in_the_settings_are_named_all_at_once(call: Call) -> None:
    said = call("config", "check", "--set", "api.prot=1", "--set", "smtp.port=0")

    assert said == Said(
        1,
        "",
        "Error: 2 mistakes in the settings:\n"
        "  --set: api.prot is not a setting; did you mean api.port?\n"
        "  --set: smtp.port must be greater than or equal to 1\n",
    )


def test_right_settings_pass_the_check(call: Call) -> None:
    said = call("config", "check", "--set", "api.port=1")

    assert said == Said(
        0, f"The settings are right: 2 given, {len(known_fields()) - 2} left at their defaults.\n", ""
    )


def test_config_check_looks_into_the_files_that_are_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("shop not-a-hash *\n")
    (tmp_path / "email.subject.txt").write_text("{{ broken")

    said = call(
        "config",
        "check",
        *("--set", f"api.keys_file={tmp_path / 'keys'}"),
        *("--set", f"templates.directory={tmp_path}"),
        *("--set", "broker.backend=kafka", "--set", "kafka.security_protocol=SSL"),
        *("--set", f"kafka.ssl_ca_file={tmp_path / 'missing.pem'}"),
    )

    assert said.code == 1
    assert "3 mistakes" in said.err
    assert [
        name for name in ("api.keys_file", "templates.directory", "kafka.ssl") if name not in said.err
    ] == []


def test_config_check_looks_into_the_files_also_where_settings_are_wrong(call: Call, tmp_path: Path) -> None:
    said = call(
        "config",
        "check",
        *("--set", "api.port=many"),
        *("--set", f"api.keys_file={tmp_path / 'missing'}"),
        *("--set", f"templates.directory={tmp_path / 'missing'}"),
    )

    assert [line.split()[:2] for line in said.err.splitlines()[1:]] == [
        ["--set:", "api.port"],
        ["api.keys_file:", "the"],
        ["templates.directory:", "templates.directory"],
    ]


def test_config_show_prints_value_and_origin_of_each_setting(call: Call) -> None:
    said = call("config", "show", "--set", "api.port=9000", HERALD_SMTP__HOST="mail")

    rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in said.out.splitlines()}
    assert rows["setting"] == ["value", "from"]
    assert rows["api.port"] == ["9000", "--set"]
    assert rows["smtp.host"] == ['"mail"', "environment HERALD_SMTP__HOST"]
    assert rows["smtp.port"] == ["1025", "default"]


def test_config_show_describes_when_asked(call: Call) -> None:
    assert "Port to listen on; 0: any free one" in call("config", "show", "--describe").out
    assert "Port to listen on" not in call("config", "show").out


@pytest.mark.parametrize("options", [(), ("--json",), ("--describe",)])
def test_config_show_never_shows_a_secret(call: Call, options: tuple[str, ...]) -> None:
    said = call("config", "show", *options, HERALD_SMTP__USERNAME="u", HERALD_SMTP__PASSWORD="hunter2")

    assert "hunter2" not in said.out
    assert '"***"' in said.out


def test_config_show_as_json(call: Call) -> None:
    said = call("config", "show", "--json", "--set", "api.port=9000")

    settings = {setting["name"]: setting for setting in json.loads(said.out)["settings"]}
    assert settings["api.port"] == {
        "name": "api.port",
        "value": 9000,
        "origin": "--set",
        "description": "Port to listen on; 0: any free one",
    }


@pytest.mark.parametrize("command", [("config", "check"), ("config", "show"), ("config", "show", "--json")])
def test_a_reader_that_goes_away_is_no_error_to_tell_of(command: tuple[str, ...]) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    herald = [sys.executable, "-P", "-m", "entrypoints.cli", *command]
    reading, writing = os.pipe()
    os.close(reading)

    finished = subprocess.run(herald, stdout=writing, stderr=subprocess.PIPE, env=environ, check=False)

    os.close(writing)
    assert (finished.returncode, finished.stderr) == (1, b"")


def test_help_does_not_wait_for_what_the_commands_need() -> None:
    program = "import sys, entrypoints.cli as c; c.main(['run', '--help']); print(sorted(sys.modules))"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environ, check=True)

    loaded = finished.stdout.decode()
    assert "'entrypoints.cli'" in loaded
    assert "'pydantic'" not in loaded
    assert "'rich'" not in loaded
    assert "'litestar'" not in loaded


def test_the_module_is_the_program() -> None:
    command = [sys.executable, "-P", "-m", "entrypoints.cli", "--version"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    assert (ended.stdout, ended.stderr) == (f"herald {herald_version()}\n", "")
