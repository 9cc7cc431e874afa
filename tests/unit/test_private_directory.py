"""The directory that an API's processes share."""

import pytest

from domain.errors import HeraldError
from entrypoints.private_directory import private_directory


def test_it_is_this_user_s_alone_and_goes_with_all_that_is_in_it() -> None:
    with private_directory() as directory:
        mode = directory.stat().st_mode & 0o777
        (directory / "1.json").write_text("{}")

    assert (mode, directory.exists()) == (0o700, False)


def nowhere() -> str:
    raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")


def test_where_none_can_be_made_is_told_with_what_to_do() -> None:
    messages = []
    for temporary in (nowhere, lambda: "/nowhere"):
        with pytest.raises(HeraldError) as raised, private_directory(temporary):
            pass
        messages.append(str(raised.value))

    assert all(message.startswith("no temporary folder can be made (No ") for message in messages)
    assert all(message.endswith("let /tmp be written, or set TMPDIR") for message in messages)
