import logging
import os
from hashlib import sha256
from pathlib import Path

import pytest

from domain.errors import HeraldError
from entrypoints.api_keys import Grant, KeyRing, KeysFile, NoKeys, keys_given, parse_keys
from tests.fakes import FakeClock

HASH = sha256(b"secret").hexdigest()
OTHER = sha256(b"other").hexdigest()


def ring(text: str) -> KeyRing:
    return KeyRing(parse_keys(text, "keys"))


def test_without_keys_everybody_may_do_everything() -> None:
    assert NoKeys().grant(None) == Grant(None)


def test_a_known_key_is_let_in() -> None:
    assert ring(f"shop {HASH} a,b").grant(b"Bearer secret") == Grant(frozenset({"a", "b"}))


def test_a_star_is_for_every_topic() -> None:
    grant = ring(f"shop {HASH} *").grant(b"Bearer secret")

    assert grant == Grant(None)


def test_a_grant_is_for_its_topics_only() -> None:
    grant = Grant(frozenset({"a"}))

    assert grant.allows("a")
    assert not grant.allows("b")
    assert Grant().allows("b")


@pytest.mark.parametrize("header", [b"bearer secret", b"BEARER  secret ", b"Bearer\x20secret"])
def test_the_scheme_may_be_written_in_any_case(header: bytes) -> None:
    assert ring(f"shop {HASH} *").grant(header) == Grant(None)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer Secret",
        b"Basic secret",
        b"secret",
        b"Bearer \xff",
        HASH.encode(),
    ],
)
def test_whoever_has_no_known_key_is_a_stranger(header: bytes | None) -> None:
    assert ring(f"shop {HASH} *").grant(header) is None


def test_keys_whose_hashes_begin_alike_are_told_apart() -> None:
    alike = HASH[:8] + "0" * 56

    assert ring(f"a {alike} x\nb {HASH} y").grant(b"Bearer secret") == Grant(frozenset({"y"}))


def test_comments_and_empty_lines_are_passed_over() -> None:
    keys = parse_keys(f"# ours\n\n  shop\t{HASH.upper()}   a  # until June\n", "keys")

    assert [(key.name, key.digest, key.grant) for key in keys] == [
        ("shop", bytes.fromhex(HASH), Grant(frozenset({"a"})))
    ]


def test_every_mistake_is_named_with_its_line_and_nothing_of_the_key() -> None:
    lines = [f"shop {HASH} a", f"shop {OTHER} a", f"b {HASH} a", "c secret a", f"d {'0' * 64}"]
    lines += [f"e {'1' * 64} a,,b", f"f {'2' * 64} a,*"]

    with pytest.raises(HeraldError) as caught:
        parse_keys("\n".join(lines), "the keys file k")

    assert str(caught.value) == (
        "the keys file k has mistakes: line 2: has the name of line 1; line 3: has the key of line 1; "
        "line 4: the second field is not the SHA-256 of a key (64 hex digits); "
        "line 5: has 2 fields; name, SHA-256 and topics (without blanks) are needed; "
        "line 6: the topics are neither * nor names parted by commas; "
        "line 7: the topics are neither * nor names parted by commas"
    )


def test_the_lines_may_stand_in_a_setting_parted_by_semicolons_or_line_breaks() -> None:
    for text in (f"shop {HASH} a; till {OTHER} *", f"shop {HASH} a # mine\ntill {OTHER} *\n"):
        assert [(key.name, key.digest.hex()) for key in keys_given(text)] == [("shop", HASH), ("till", OTHER)]
    with pytest.raises(HeraldError, match=r"^api\.keys has mistakes: line 2: has 1 fields"):
        keys_given(f"shop {HASH} a; till")


def test_a_file_without_a_key_would_lock_everybody_out() -> None:
    with pytest.raises(HeraldError, match="it has no key, so nobody could call"):
        parse_keys("# none yet", "keys")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HeraldError, match=r"keys\.txt cannot be read: No such file"):
        KeysFile(tmp_path / "keys.txt", FakeClock().monotonic)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(HeraldError, match="cannot be read: it is not UTF-8"):
        KeysFile(path, FakeClock().monotonic)


class ChangingFile:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.txt"
        self.clock = FakeClock()
        self.replace(f"shop {HASH} a")
        self.keys = KeysFile(self.path, self.clock.monotonic)

    def replace(self, text: str) -> None:
        written = self.path.with_suffix(".new")
        written.write_text(text)
        os.replace(written, self.path)  # noqa: PTH105 - as an operator's tool would

    def second_later(self, key: bytes) -> Grant | None:
        self.clock.time += 1
        return self.keys.grant(b"Bearer " + key)


@pytest.fixture
def changing(tmp_path: Path) -> ChangingFile:
    return ChangingFile(tmp_path)


def test_a_replaced_file_is_in_force_within_a_second(changing: ChangingFile) -> None:
    changing.replace(f"shop {OTHER} a")

    assert changing.second_later(b"secret") is None
    assert changing.keys.grant(b"Bearer other") == Grant(frozenset({"a"}))


def test_a_file_is_not_looked_at_more_than_once_a_second(changing: ChangingFile) -> None:
    changing.replace(f"shop {OTHER} a")
    changing.clock.time += 0.9

    assert changing.keys.grant(b"Bearer secret") == Grant(frozenset({"a"}))


def test_a_broken_version_is_not_taken_and_logged_once(
    changing: ChangingFile, caplog: pytest.LogCaptureFixture
) -> None:
    changing.replace("nonsense")
    with caplog.at_level(logging.INFO, "herald.api"):
        grants = [changing.second_later(b"secret") for _ in range(3)]

    assert grants == [Grant(frozenset({"a"}))] * 3
    assert [record.__dict__["action"] for record in caplog.records] == ["keys_file_refused"]


def test_a_file_that_goes_away_leaves_its_keys_in_force(changing: ChangingFile) -> None:
    changing.path.unlink()

    assert changing.second_later(b"secret") == Grant(frozenset({"a"}))


def test_a_mended_file_is_taken_again(changing: ChangingFile, caplog: pytest.LogCaptureFixture) -> None:
    changing.replace("nonsense")
    changing.second_later(b"secret")
    changing.replace(f"shop {OTHER} b")
    with caplog.at_level(logging.INFO, "herald.api"):
        grant = changing.second_later(b"other")

    assert grant == Grant(frozenset({"b"}))
    assert [record.__dict__["action"] for record in caplog.records][-1] == "keys_file_read"
