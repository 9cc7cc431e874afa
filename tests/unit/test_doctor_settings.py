"""What the doctor says of the settings: every mistake, where they come from, who can read the secrets."""

import hashlib
from pathlib import Path

import pytest

from domain.diagnosis import Finding, FindingState, ok
from entrypoints.doctor_settings import mistakes_found, settings_findings
from entrypoints.settings import SettingsError, load_settings

KEY = f"shop {hashlib.sha256(b'k').hexdigest()} *\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One that everybody may go through, as far as the test can see to it."""
    for one in (tmp_path, tmp_path.parent, tmp_path.parent.parent, tmp_path.parent.parent.parent):
        if one != Path("/tmp"):  # noqa: S108 - everybody may go through it already
            one.chmod(0o755)
    return tmp_path


def found(folder: Path, *assignments: str, **environ: str) -> dict[str, list[Finding]]:
    loaded = load_settings(None, assignments, environ, folder)
    by_name: dict[str, list[Finding]] = {}
    for finding in settings_findings(loaded, environ, folder):
        by_name.setdefault(finding.name, []).append(finding)
    return by_name


def test_right_settings_are_told_with_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "herald.toml").write_text("[api]\nport = 9000\n")

    given = found(tmp_path, "smtp.port=26", HERALD_SMS__SENDER="Herald")
    nothing = found(tmp_path.parent)

    [finding] = given["settings"]
    assert finding.state is FindingState.OK
    assert f"3 given ({tmp_path / 'herald.toml'}, --set, environment)" in finding.says
    assert nothing["settings"] == [ok("settings", "right; none is given, all are at their defaults")]


def test_every_mistake_is_a_finding_and_names_its_section(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        found(tmp_path, "api.prot=1", "smtp.port=0", f"templates.directory={tmp_path / 'missing'}")

    findings = list(mistakes_found(raised.value))
    assert [one.state for one in findings] == [FindingState.WRONG] * 3
    assert ["api.prot" in findings[0].says, "smtp.port" in findings[1].says] == [True, True]
    assert findings[2].says.startswith("templates.directory: ")
    assert raised.value.sections == {"api", "smtp"}


def test_a_file_that_is_none_may_have_had_any_mistake(tmp_path: Path) -> None:
    (tmp_path / "herald.toml").write_text("[api\n")

    with pytest.raises(SettingsError) as raised:
        found(tmp_path)

    assert raised.value.sections == {""}


def test_files_that_cannot_be_used_are_mistakes_too(tmp_path: Path) -> None:
    [finding] = found(tmp_path, f"templates.directory={tmp_path / 'missing'}")["settings"]

    assert finding.state is FindingState.WRONG


def test_a_secret_that_everybody_can_read_is_a_warning_with_what_to_type(folder: Path) -> None:
    (folder / "herald.toml").write_text('[smtp]\nusername = "u"\npassword = "hunter2"\n')
    (folder / "herald.toml").chmod(0o644)

    [finding] = found(folder)["secrets"]

    assert finding.state is FindingState.WARNING
    assert finding.says == f"every user of this machine can read {folder / 'herald.toml'} (smtp.password)"
    assert finding.remedy == f"chmod o-r {folder / 'herald.toml'}"


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_secret_for_its_owner_and_group_is_well(folder: Path, mode: int) -> None:
    (folder / "password").write_text("hunter2")
    (folder / "password").chmod(mode)

    findings = found(folder, "smtp.username=u", HERALD_SMTP__PASSWORD_FILE="password")["secrets"]

    assert [one.state for one in findings] == [FindingState.OK]


def test_a_secret_below_a_folder_that_nobody_else_may_enter_is_well(folder: Path) -> None:
    (folder / "password").write_text("hunter2")
    (folder / "password").chmod(0o644)
    open_one = found(folder, "smtp.username=u", HERALD_SMTP__PASSWORD_FILE="password")["secrets"]
    folder.chmod(0o700)

    shut_one = found(folder, "smtp.username=u", HERALD_SMTP__PASSWORD_FILE="password")["secrets"]

    assert [open_one[0].state, shut_one[0].state] == [FindingState.WARNING, FindingState.OK]


def test_a_file_without_secrets_may_be_read_by_all(folder: Path) -> None:
    (folder / "herald.toml").write_text("[api]\nport = 9000\n")
    (folder / "herald.toml").chmod(0o644)

    assert [one.state for one in found(folder)["secrets"]] == [FindingState.OK]


def test_keys_that_everybody_can_change_are_wrong(folder: Path) -> None:
    (folder / "keys").write_text(KEY)
    (folder / "keys").chmod(0o666)

    [finding] = found(folder, f"api.keys_file={folder / 'keys'}")["secrets"]

    assert finding.state is FindingState.WRONG
    assert finding.remedy == f"chmod o-rwx {folder / 'keys'}"


def test_a_secret_on_the_command_line_is_a_warning_and_not_told(tmp_path: Path) -> None:
    [finding] = found(tmp_path, "sms.auth_token=hunter2")["secrets"]

    assert finding.state is FindingState.WARNING
    assert finding.says.startswith("sms.auth_token by --set: ")
    assert "hunter2" not in finding.says


@pytest.mark.parametrize(
    ("assignments", "state", "says"),
    [
        ([], FindingState.OK, "listens on 127.0.0.1, which only this machine reaches"),
        (["api.host=0.0.0.0", "api.keys_file=KEYS"], FindingState.OK, "asks for keys (1 in "),
        (["api.host=0.0.0.0", f"api.keys={KEY}"], FindingState.OK, "asks for keys (1 in api.keys)"),
        (["api.host=0.0.0.0", "api.anonymous=true"], FindingState.WARNING, "asks for no keys"),
        (["api.host=0.0.0.0", "api.keys_file=none"], FindingState.WRONG, "cannot be read"),
    ],
)
def test_who_reaches_the_api_is_told(
    tmp_path: Path, assignments: list[str], state: FindingState, says: str
) -> None:
    (tmp_path / "keys").write_text(KEY)
    given = [one.replace("KEYS", str(tmp_path / "keys")) for one in assignments]

    [finding] = found(tmp_path, *given)["api"]

    assert (finding.state, says in finding.says) == (state, True)
