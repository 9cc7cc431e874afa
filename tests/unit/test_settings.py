import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.errors import HeraldError
from domain.topic import Start, Topic
from entrypoints.settings import Loaded, Settings, SettingsError, load_settings, value_of
from entrypoints.settings_sources import known_fields

Load = Callable[..., Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads settings in a directory of the test's own; `toml` becomes its herald.toml."""

    def load(
        *assignments: str, toml: str | bytes | None = None, config: str | None = None, **environ: str
    ) -> Loaded:
        if toml is not None:
            content = toml if isinstance(toml, bytes) else toml.encode()
            (tmp_path / "herald.toml").write_bytes(content)
        return load_settings(Path(config) if config else None, assignments, environ, tmp_path)

    return load


def mistakes(load: Load, *assignments: str, **given: Any) -> Sequence[str]:
    with pytest.raises(SettingsError) as raised:
        load(*assignments, **given)
    return raised.value.mistakes


def test_without_anything_the_defaults_are_in_force(load: Load) -> None:
    loaded = load()

    assert loaded.settings == Settings()
    assert set(loaded.origins) == set(known_fields())
    assert set(loaded.origins.values()) == {"default"}


def test_importing_and_defaulting_never_reads_the_process_s_environment(load: Load) -> None:
    assert load().settings.api.port == 8080


def test_the_order_is_set_then_environment_then_file_then_default(load: Load, tmp_path: Path) -> None:
    toml = '[smtp]\nport = 1\nhost = "from-file"\nusername = "file"\npassword = "file"\n'

    loaded = load("smtp.port=3", toml=toml, HERALD_SMTP__PORT="2", HERALD_SMTP__USERNAME="from-environment")

    smtp = loaded.settings.smtp
    assert (smtp.port, smtp.username, smtp.host, smtp.tls) == (3, "from-environment", "from-file", "none")
    assert loaded.origins["smtp.port"] == "--set"
    assert loaded.origins["smtp.username"] == "environment HERALD_SMTP__USERNAME"
    assert loaded.origins["smtp.host"] == str(tmp_path / "herald.toml")
    assert loaded.origins["smtp.tls"] == "default"


def test_the_named_file_wins_over_herald_config_and_that_over_the_usual_one(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "one.toml").write_text("[api]\nport = 1")
    (tmp_path / "two.toml").write_text("[api]\nport = 2")
    usual = "[api]\nport = 3"

    assert load(toml=usual, config="one.toml", HERALD_CONFIG="two.toml").settings.api.port == 1
    assert load(toml=usual, HERALD_CONFIG="two.toml").settings.api.port == 2
    assert load(toml=usual, HERALD_CONFIG="").settings.api.port == 3


def test_a_named_file_that_is_missing_is_a_mistake_of_who_named_it(load: Load) -> None:
    by_option = mistakes(load, config="no.toml")
    by_environment = mistakes(load, HERALD_CONFIG="no.toml")

    assert by_option[0].startswith("--config: ")
    assert by_option[0].endswith("no.toml cannot be read: No such file or directory")
    assert by_environment[0].startswith("environment HERALD_CONFIG: ")


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("[api]\nport == 1", "is not TOML: Invalid value (at line 2, column 7)"),
        (b"[api]\nhost = '\xff'", "is not UTF-8 text"),
        ("[api]\nport = '8080'", "api.port must be a valid integer"),
        ("[api]\nport = true", "api.port must be a valid integer"),
        ("[api]\nport = 80.0", "api.port must be a valid integer"),
        ("[api]\nanonymous = 1", "api.anonymous must be a valid boolean"),
        ("[api]\nhost = 1", "api.host must be a valid string"),
        ("[api]\nprot = 1", "api.prot is not a setting; did you mean api.port?"),
        ("[apu]\nport = 1", "apu.port: there is no section apu; did you mean api?"),
        ("[nothing_like_it]", "nothing_like_it: there is no section nothing_like_it"),
        ("port = 1", "port: there is no section port"),
        ("api = 1", "api must be a section with fields"),
        ("[delivery]\ndrain_seconds = nan", "delivery.drain_seconds must be a finite number"),
        ("[delivery]\ndrain_seconds = inf", "delivery.drain_seconds must be a finite number"),
        ("topics = 1", "topics must be a list of [[topics]] tables"),
        ("topics = []", "topics must name at least one topic"),
        ("[[topics]]\npartitions = 6", "topics.0.name is required"),
        ("[[topics]]\nname = 't'\nnmae = 't'", "topics.0.nmae is not a setting"),
        ("[[topics]]\nname = 't'\ngroups = ['fax']", "topics.0.groups.0 must be 'email' or 'sms'"),
        ("[topics]\nname = 't'", "topics must be a list of [[topics]] tables"),
        ("[sms]\nauth_token = 1", "sms.auth_token must be a valid string"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_the_file(
    load: Load, tmp_path: Path, toml: str | bytes, line: str
) -> None:
    assert mistakes(load, toml=toml) == (f"{tmp_path / 'herald.toml'}: {line}",)


def test_a_whole_number_is_right_where_a_fraction_may_stand(load: Load) -> None:
    settings = load(toml="[delivery]\nfirst_retry_seconds = 2\n[smtp]\nmax_per_second = 0.5").settings

    assert settings.delivery.first_retry_seconds == 2.0
    assert settings.smtp.max_per_second == 0.5


def test_texts_from_environment_and_command_line_are_read_in_the_field_s_type(load: Load) -> None:
    settings = load(
        "delivery.drain_seconds=1.5",
        "smtp.sender=A=B <a@example.com>",
        "api.anonymous=1",
        HERALD_API__PORT="9000",
        HERALD_KAFKA__BOOTSTRAP_SERVERS="a:1,b:2",
        HERALD_LOGGING__LEVEL="debug",
    ).settings

    assert settings.delivery.drain_seconds == 1.5
    assert settings.smtp.sender == "A=B <a@example.com>"
    assert settings.api.anonymous is True
    assert settings.api.port == 9000
    assert settings.kafka.bootstrap_servers == "a:1,b:2"
    assert settings.logging.level == "DEBUG"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("TRUE", True), ("false", False), ("0", False)])
def test_yes_and_no_have_four_words(load: Load, text: str, value: object) -> None:
    assert load(HERALD_API__ANONYMOUS=text).settings.api.anonymous is value


@pytest.mark.parametrize(
    ("variable", "text", "fault"),
    [
        ("HERALD_API__PORT", "80x", "api.port must be a whole number"),
        ("HERALD_API__PORT", "", "api.port must be a whole number"),
        ("HERALD_API__PORT", "1.0", "api.port must be a whole number"),
        ("HERALD_API__ANONYMOUS", "maybe", "api.anonymous must be true or false"),
        ("HERALD_DELIVERY__DRAIN_SECONDS", "soon", "delivery.drain_seconds must be a number"),
        ("HERALD_SMTP__HOST", "\udcff", "smtp.host must be UTF-8 text"),
        ("HERALD_TOPICS", "{}", "topics must be a JSON array"),
        ("HERALD_TOPICS", "[" * 100_000, "topics must be a JSON array"),
        ("HERALD_TOPICS", '["t"]', "topics.0 must be a table with a name"),
        ("HERALD_TOPICS__0__NAME", "t", "topics are given all at once: HERALD_TOPICS as a JSON array"),
        ("HERALD_API__PROT", "1", "api.prot is not a setting; did you mean api.port?"),
        ("HERALD_API__", "1", "api. is not a setting; did you mean api.port?"),
        ("HERALD__API__PORT", "1", "_api.port: there is no section _api; did you mean api?"),
        ("HERALD_SMPT__HOST", "x", "smpt.host: there is no section smpt; did you mean smtp?"),
        ("HERALD_api__port", "1", "must be written HERALD_API__PORT"),
    ],
)
def test_a_mistake_in_the_environment_is_named_with_its_variable(
    load: Load, variable: str, text: str, fault: str
) -> None:
    assert mistakes(load, **{variable: text}) == (f"environment {variable}: {fault}",)


@pytest.mark.parametrize(
    "variable", ["HERALD_PORT", "HERALD_SERVICE_HOST", "HERALD_TEST_KAFKA", "OTHER__NAME", "herald_api__port"]
)
def test_names_that_others_set_are_left_alone(load: Load, variable: str) -> None:
    loaded = load(**{variable: "tcp://10.0.0.1:8080"})

    assert set(loaded.origins.values()) == {"default"}


@pytest.mark.parametrize(
    ("assignment", "fault"),
    [
        ("api.port", "api.port has no value; write --set section.field=value"),
        ("api.prot=1", "api.prot is not a setting; did you mean api.port?"),
        ("api=1", "api must be a section with fields"),
        ("=1", ": there is no section "),
        ("api.port=x", "api.port must be a whole number"),
        ("topics=[", "topics must be a JSON array"),
        ("topics.0.name=x", "topics are given all at once: --set topics=[…] as a JSON array"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(load: Load, assignment: str, fault: str) -> None:
    assert mistakes(load, assignment) == (f"--set: {fault}",)


def test_of_two_assignments_to_one_field_the_later_counts(load: Load) -> None:
    assert load("api.port=1", "api.port=2").settings.api.port == 2


def test_any_field_may_be_read_from_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(" pa ss \n")
    (tmp_path / "port").write_text("2525\r\n")
    (tmp_path / "topics").write_text('[{"name": "t"}]')

    loaded = load(
        HERALD_SMTP__USERNAME="u",
        HERALD_SMTP__PASSWORD_FILE=str(tmp_path / "secret"),
        HERALD_SMTP__PORT_FILE="port",
        HERALD_TOPICS_FILE="topics",
        toml="[smtp]\nport = 1",
    )

    assert loaded.settings.smtp.password.get_secret_value() == " pa ss "
    assert loaded.settings.smtp.port == 2525
    assert [topic.name for topic in loaded.settings.topics] == ["t"]
    assert loaded.origins["smtp.port"] == "environment HERALD_SMTP__PORT_FILE"


def test_fields_that_end_in_file_are_themselves_and_may_be_read_from_a_file_too(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "where").write_text("/etc/herald/keys\n")

    by_name = load(HERALD_API__KEYS_FILE="keys", HERALD_LOGGING__FILE="x.log").settings
    by_file = load(HERALD_API__KEYS_FILE_FILE="where", HERALD_LOGGING__FILE_FILE="where").settings

    assert (by_name.api.keys_file, by_name.logging.file) == ("keys", "x.log")
    assert (by_file.api.keys_file, by_file.logging.file) == ("/etc/herald/keys", "/etc/herald/keys")


def test_a_value_and_a_file_for_one_field_contradict_each_other(load: Load, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1")

    assert mistakes(load, HERALD_SMTP__PORT="1", HERALD_SMTP__PORT_FILE="port") == (
        "environment HERALD_SMTP__PORT_FILE: smtp.port is given by environment HERALD_SMTP__PORT too",
    )


def test_a_file_for_a_field_that_cannot_be_read_is_named(load: Load, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff")

    missing = mistakes(load, HERALD_SMTP__HOST_FILE="none")
    binary = mistakes(load, HERALD_SMTP__HOST_FILE="bytes")

    assert missing == (
        f"environment HERALD_SMTP__HOST_FILE: {tmp_path / 'none'} cannot be read: No such file or directory",
    )
    assert binary == (f"environment HERALD_SMTP__HOST_FILE: {tmp_path / 'bytes'} is not UTF-8 text",)


def test_topics_from_a_stronger_source_replace_all_of_a_weaker_one(load: Load) -> None:
    toml = "[[topics]]\nname = 'a'\n[[topics]]\nname = 'b'"

    from_file = load(toml=toml)
    from_environment = load(toml=toml, HERALD_TOPICS='[{"name": "c", "partitions": 3}]')
    from_set = load('topics=[{"name": "d"}]', toml=toml, HERALD_TOPICS='[{"name": "c"}]')

    assert [topic.name for topic in from_file.settings.topics] == ["a", "b"]
    assert [(topic.name, topic.partitions) for topic in from_environment.settings.topics] == [("c", 3)]
    assert [topic.name for topic in from_set.settings.topics] == ["d"]
    assert from_set.origins["topics"] == "--set"


def test_topics_become_the_domain_s_values(load: Load) -> None:
    topic = {
        "name": "orders",
        "partitions": 12,
        "replication_factor": 3,
        "retention_hours": 24,
        "expires_after_seconds": 60,
        "start": "end",
        "groups": ["sms"],
    }

    settings = load(HERALD_TOPICS=json.dumps([topic])).settings

    assert settings.configured_topics() == (
        Topic(
            name="orders",
            partitions=12,
            replication_factor=3,
            retention_hours=24,
            expires_after_seconds=60,
            start=Start.END,
            groups=("sms",),
        ),
    )
    assert Settings().configured_topics() == (Topic(name="transactions", partitions=6),)


def test_every_mistake_of_every_source_is_in_one_message(load: Load, tmp_path: Path) -> None:
    with pytest.raises(HeraldError) as raised:
        load(
            "api.workers=0",
            toml="[smtp]\nport = 0\ntsl = 'none'",
            HERALD_SMS__URL="nowhere",
            HERALD_X__Y="1",
        )

    path = tmp_path / "herald.toml"
    url = "sms.url must be a URL such as https://api.example.com, without user, query and fragment"
    assert str(raised.value).splitlines() == [
        "5 mistakes in the settings:",
        f"  {path}: smtp.tsl is not a setting; did you mean smtp.tls?",
        "  environment HERALD_X__Y: x.y: there is no section x",
        "  --set: api.workers must be greater than or equal to 1",
        f"  {path}: smtp.port must be greater than or equal to 1",
        f"  environment HERALD_SMS__URL: {url}",
    ]


def test_a_mistake_in_a_secret_does_not_show_it(load: Load) -> None:
    (line,) = mistakes(load, "smtp.username=u", "smtp.password=hunter2\x00")

    assert line == "--set: smtp.password must not contain control characters"


def test_a_bad_value_that_a_stronger_source_replaces_does_no_harm(load: Load) -> None:
    assert load("api.port=1", toml="[api]\nport = 'x'").settings.api.port == 1


def test_secrets_are_those_that_were_given_and_never_printed(load: Load) -> None:
    loaded = load("smtp.username=u", "smtp.password=hunter2", HERALD_KAFKA__SSL_KEY_PASSWORD="")

    assert loaded.secrets() == ("hunter2",)
    assert "hunter2" not in repr(loaded)


def test_a_setting_can_be_asked_for_by_its_name() -> None:
    assert value_of(Settings(), "smtp.host") == "127.0.0.1"
    assert value_of(Settings(), "topics") == Settings().topics


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().api.port = 1
