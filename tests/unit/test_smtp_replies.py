"""The table from an SMTP server's answers to outcomes."""

import pytest

from adapters.outcome_table import said
from adapters.smtp_replies import Phase, outcome_of_loss, outcome_of_reply, queue_id
from domain.outcome import ChannelDown, Outcome, Refused, Uncertain

BEFORE = [Phase.CONNECT, Phase.EHLO, Phase.STARTTLS, Phase.AUTH, Phase.MAIL]
ABOUT_THE_MESSAGE = [Phase.RCPT, Phase.DATA, Phase.CONTENT]


def kind(outcome: Outcome) -> str:
    return f"{type(outcome).__name__}{'!' if getattr(outcome, 'certain', False) else ''}"


@pytest.mark.parametrize("phase", BEFORE)
@pytest.mark.parametrize("code", [421, 450, 451, 454, 500, 550, 553, 554])
def test_any_refusal_up_to_mail_is_the_channels(phase: Phase, code: int) -> None:
    outcome = outcome_of_reply(phase, code, "5.1.8 no")

    assert isinstance(outcome, ChannelDown)


@pytest.mark.parametrize("phase", ABOUT_THE_MESSAGE)
@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (421, "4.3.2 shutting down", "ChannelDown"),
        (421, "bye", "ChannelDown"),
        (454, "Throttling failure: Maximum sending rate exceeded.", "ChannelDown"),
        (450, "4.7.1 greylisted", "TryAgain"),
        (451, "busy", "TryAgain"),
        (452, "4.2.2 mailbox full", "TryAgain"),
        (499, "", "TryAgain"),
        (451, "4.3.0 queue file write error", "ChannelDown"),
        (452, "4.3.1 insufficient system storage", "ChannelDown"),
        (550, "5.1.1 no such user", "Refused"),
        (550, "no such user", "Refused"),
        (552, "5.2.2 quota", "Refused"),
        (554, "5.7.1 spam", "Refused"),
        (500, "5.5.2 what?", "Refused"),
        (554, "5.3.0 mail system broken", "ChannelDown"),
        (550, "5.3.4you", "Refused"),
        (550, "see 5.3.0", "Refused"),
        # The reply's first digit decides, also where the enhanced code is of another class.
        (550, "4.2.1 mailbox disabled for now", "Refused"),
        (450, "5.1.1 no such user", "TryAgain"),
        (550, "2.0.0 ok", "Refused"),
        (550, "250 2.1.5 ok", "Refused"),
        (450, "4.3.2 later", "ChannelDown"),
        (550, "4.3.2 later", "ChannelDown"),
        (450, "2.3.0 ?", "ChannelDown"),
        (450, "4.30.1 another subject", "TryAgain"),
        (450, "14.3.1 no code", "TryAgain"),
    ],
)
def test_a_reply_about_the_message_is_judged_by_its_codes(
    phase: Phase, code: int, text: str, expected: str
) -> None:
    assert kind(outcome_of_reply(phase, code, text)) == expected


@pytest.mark.parametrize(
    ("phase", "code", "expected"),
    [
        (Phase.AUTH, 535, "ChannelDown!"),
        (Phase.AUTH, 534, "ChannelDown!"),
        (Phase.AUTH, 500, "ChannelDown!"),
        (Phase.AUTH, 454, "ChannelDown"),
        (Phase.AUTH, 421, "ChannelDown"),
        (Phase.MAIL, 530, "ChannelDown!"),
        (Phase.MAIL, 535, "ChannelDown!"),
        (Phase.MAIL, 550, "ChannelDown"),
        (Phase.CONNECT, 554, "ChannelDown"),
    ],
)
def test_a_login_that_is_wrong_is_certain_at_once(phase: Phase, code: int, expected: str) -> None:
    assert kind(outcome_of_reply(phase, code, "")) == expected


@pytest.mark.parametrize("code", [-1, 0, 25, 100, 250, 354, 600, 999])
def test_what_is_no_answer_to_the_final_dot_leaves_it_uncertain(code: int) -> None:
    assert isinstance(outcome_of_reply(Phase.CONTENT, code, "xx"), Uncertain)


@pytest.mark.parametrize("phase", [*BEFORE, Phase.RCPT, Phase.DATA])
@pytest.mark.parametrize("code", [-1, 0, 25, 100, 250, 354, 600, 999])
def test_what_is_no_answer_before_the_mail_was_written_is_the_channels(phase: Phase, code: int) -> None:
    assert kind(outcome_of_reply(phase, code, "xx")) == "ChannelDown"


@pytest.mark.parametrize("phase", [*BEFORE, Phase.RCPT, Phase.DATA])
def test_a_connection_lost_before_the_mail_was_written_is_the_channels(phase: Phase) -> None:
    assert outcome_of_loss(phase, "gone") == ChannelDown(f"{phase}: gone")


def test_a_connection_lost_after_the_mail_was_written_is_uncertain() -> None:
    assert outcome_of_loss(Phase.CONTENT, "gone") == Uncertain("the final dot: gone")


def test_a_reason_has_the_servers_words_without_addresses_and_numbers() -> None:
    outcome = outcome_of_reply(Phase.RCPT, 550, "5.1.1 <jo@example.org>: no such user,\ncall +4930123456")

    assert outcome == Refused("RCPT: 550 5.1.1 <***@***>: no such user, call ***")


def test_a_reason_is_short_and_can_be_stored() -> None:
    # Cut after masking: half an address would not be known as one.
    text = said("\udcff \x1b[31m" + "a" * 190 + " jo.from.nowhere@example.org")

    assert len(text) == 200
    assert text.startswith("? [31maaa")
    assert "nowhere" not in text
    assert text.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2.0.0 Ok: queued as 4XyZ12", "Ok: queued as 4XyZ12"),
        ("OK id=1tAbCd-0003XY-2Z", "OK id=1tAbCd-0003XY-2Z"),
        ("2.0.0 Ok", ""),
        ("", ""),
        ("2.0.0 queued as 7 for jo@example.org", "queued as 7 for ***@***"),
    ],
)
def test_the_servers_name_for_a_mail_is_kept(text: str, expected: str) -> None:
    assert queue_id(text) == expected
