import runpy
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from entrypoints.settings import load_settings
from entrypoints.settings_reference import ShownSetting, reference, settings_in_force
from entrypoints.settings_sources import known_fields
from entrypoints.settings_topics import TopicSettings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def shown(*assignments: str) -> dict[str, ShownSetting]:
    loaded = load_settings(None, assignments, {}, Path("/nowhere"))
    return {setting.name: setting for setting in settings_in_force(loaded)}


def test_the_reference_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == reference(), (
        "write it anew: .venv/bin/python -m entrypoints.settings_reference > docs/reference/settings.md"
    )


def test_the_module_prints_the_page() -> None:
    printed = StringIO()

    with redirect_stdout(printed), pytest.warns(RuntimeWarning, match="found in sys.modules"):
        runpy.run_module("entrypoints.settings_reference", run_name="__main__")

    assert printed.getvalue() == reference()


def test_every_setting_says_what_it_is_for() -> None:
    fields = {**known_fields(), **TopicSettings.model_fields}
    fields.pop("topics")

    assert [name for name, field in fields.items() if not field.description] == []


def test_every_setting_is_shown_with_value_origin_and_meaning() -> None:
    settings = shown("api.port=9000")

    assert settings["api.port"] == ShownSetting(
        "api.port", 9000, "--set", "Port to listen on; 0: any free one"
    )
    assert settings["smtp.tls"].origin == "default"
    assert set(settings) >= set(known_fields()) - {"topics"}


def test_seconds_are_shown_as_they_are_written() -> None:
    settings = shown("delivery.drain_seconds=1.5")

    assert repr(settings["delivery.drain_seconds"].value) == "1.5"
    assert repr(settings["delivery.first_retry_seconds"].value) == "1"


def test_secrets_are_shown_as_stars_and_missing_ones_as_empty() -> None:
    settings = shown("smtp.username=u", "smtp.password=hunter2")

    assert settings["smtp.password"].value == "***"
    assert settings["kafka.sasl_password"].value == ""


def test_each_field_of_each_topic_is_shown() -> None:
    settings = shown('topics=[{"name": "a"}, {"name": "b", "groups": ["sms"]}]')

    assert settings["topics.0.name"].value == "a"
    assert settings["topics.1.groups"].value == ["sms"]
    assert settings["topics.1.partitions"] == ShownSetting(
        "topics.1.partitions", 6, "--set", "For life: to grow, take a new topic and drain the old"
    )
