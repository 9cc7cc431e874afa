"""Built-in and users' templates."""

from pathlib import Path

import pytest

from adapters.jinja_templates import JinjaTemplates
from domain.errors import HeraldError
from domain.message import Message


def message(
    body: str | None = "You paid 12 € to Kiosk.\nThank you.",
    transaction: str | None = "TX-42",
    topic: str = "transactions",
) -> Message:
    return Message(request_id="r1", topic_name=topic, message_body=body, transaction_id=transaction)


def write(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        suffix = ".html" if name == "email" else ".txt"
        (directory / (name.replace("_", ".") + suffix)).write_text(text, encoding="utf-8")
    return directory


def test_the_built_in_mail_says_that_the_transaction_was_successful() -> None:
    subject, text, html = JinjaTemplates().mail(message())

    assert subject == "Transaction Successful"
    assert text == "Transaction Successful\n\nYou paid 12 € to Kiosk.\nThank you.\n\nTransaction: TX-42\n"
    assert "Transaction Successful</h1>" in html
    assert "You paid 12 € to Kiosk.<br>Thank you." in html
    assert "TX-42" in html


def test_the_built_in_text_begins_with_transaction_successful() -> None:
    text = JinjaTemplates().text(message())

    assert text == "Transaction Successful\nTransaction: TX-42\nYou paid 12 € to Kiosk.\nThank you."


def test_what_a_message_does_not_have_leaves_no_gap() -> None:
    templates = JinjaTemplates()

    subject, text, html = templates.mail(message(body=None, transaction=None))

    assert (subject, text) == ("Transaction Successful", "Transaction Successful\n")
    assert "None" not in html
    assert ">Transaction<" not in html
    assert templates.text(message(body=None, transaction=None)) == "Transaction Successful"


def test_the_html_asks_no_other_host_for_anything() -> None:
    _, _, html = JinjaTemplates().mail(message())

    assert "http" not in html
    assert "src=" not in html
    assert "prefers-color-scheme: dark" in html


def test_markup_in_a_message_is_shown_and_not_obeyed() -> None:
    _, text, html = JinjaTemplates().mail(message(body="<b onclick='x'>&", transaction="<script>"))

    assert "&lt;b onclick=&#39;x&#39;&gt;&amp;" in html
    assert "<script>" not in html
    assert "<b onclick='x'>&" in text


def test_template_marks_in_a_message_are_shown_as_they_are() -> None:
    text = JinjaTemplates().text(message(body="{{ 7 * 7 }} {% raw %}"))

    assert text.endswith("{{ 7 * 7 }} {% raw %}")


def test_a_users_file_wins_over_the_built_in_one_and_the_others_stay(tmp_path: Path) -> None:
    write(tmp_path, sms="Bezahlt: {{ transaction_id }}")
    templates = JinjaTemplates(tmp_path)

    assert templates.text(message()) == "Bezahlt: TX-42"
    assert templates.mail(message())[0] == "Transaction Successful"


def test_a_folder_named_for_the_topic_wins_for_that_topic_only(tmp_path: Path) -> None:
    write(tmp_path, email_subject="General")
    write(tmp_path / "refunds", email_subject="Refund of {{ customer_id }}{{ transaction_id }}")
    templates = JinjaTemplates(tmp_path)

    assert templates.mail(message(topic="refunds"))[0] == "Refund of TX-42"
    assert templates.mail(message(topic="transactions"))[0] == "General"
    assert templates.text(message(topic="refunds")).startswith("Transaction Successful")


def test_a_template_may_include_another_file_of_the_users(tmp_path: Path) -> None:
    write(tmp_path, sms="Hello. {% include 'footer.txt' %}", footer="Bye {{ request_id }}")

    assert JinjaTemplates(tmp_path).text(message()) == "Hello. Bye r1"


def test_a_subject_of_several_lines_becomes_one(tmp_path: Path) -> None:
    write(tmp_path, email_subject="One\r\nBcc: {{ message_body }}\n")

    subject = JinjaTemplates(tmp_path).mail(message(body="two\nthree\tfour"))[0]

    assert subject == "One Bcc: two three four"


def test_a_long_body_is_cut_to_fit_a_text_and_the_transaction_id_stays_whole() -> None:
    text = JinjaTemplates().text(message(body="x" * 10_000, transaction="T" * 256))

    assert len(text) == 1600
    assert "T" * 256 in text
    assert text.endswith("xx…")


def test_the_transaction_id_stays_whole_when_it_is_printed_after_the_body(tmp_path: Path) -> None:
    write(tmp_path, sms="{{ message_body | upper }} {{ message_body }} -- {{ transaction_id }}")

    text = JinjaTemplates(tmp_path).text(message(body="ß" * 10_000, transaction="T" * 256))

    assert 1597 <= len(text) <= 1600
    assert text.endswith("ß… -- " + "T" * 256)


def test_a_body_that_just_fits_is_not_cut() -> None:
    templates = JinjaTemplates()
    room = 1600 - len(templates.text(message(body="")) + "\n")

    assert templates.text(message(body="x" * room)).endswith("xxx")
    assert templates.text(message(body="x" * (room + 1))).endswith("xx…")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"sms": "one\n{{ oops"}, r"template sms.txt, line 2 cannot be used: .*"),
        ({"sms": "{{ amount }}"}, r"template sms.txt cannot be used: 'amount' is undefined"),
        (
            {"email": "{% if not transaction_id %}{{ amount }}{% endif %}"},
            r"template email.html cannot be used: 'amount' is undefined",
        ),
        ({"email_text": "{{ message_body.nothing.more }}"}, r"template email.text.txt cannot be used: .*"),
        ({"email_text": "{{ 1 / 0 }}"}, r"template email.text.txt cannot be used: division by zero"),
        ({"email_text": "{% include 'no.txt' %}"}, r"template email.text.txt cannot be used: .*no.txt.*"),
        ({"email_text": "{{ ''.__class__.__mro__ }}"}, r"template email.text.txt cannot be used: .*unsafe.*"),
        ({"email_subject": "\n \n"}, r"template email.subject.txt gives an empty subject: .*"),
        ({"sms": " "}, r"template sms.txt gives an empty text: .*"),
        ({"sms": "x" * 1601}, r"template sms.txt has over 1600 characters beside the body: .*"),
        ({"sms": "x" * 1400 + "{{ transaction_id }}"}, r"template sms.txt has over 1600 .*"),
    ],
)
def test_a_mistake_in_a_template_stops_the_start_with_one_clear_line(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    write(tmp_path, **files)

    with pytest.raises(HeraldError, match=rf"^{said}\Z") as caught:
        JinjaTemplates(tmp_path)

    assert "\n" not in str(caught.value)


def test_a_mistake_in_a_topics_template_names_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "refunds", sms="{{ amount }}")

    with pytest.raises(
        HeraldError, match=r"^template refunds/sms.txt cannot be used: 'amount' is undefined\Z"
    ):
        JinjaTemplates(tmp_path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "sms.txt").write_bytes(b"Zahlung \xfcber")

    with pytest.raises(HeraldError, match=r"^template sms.txt cannot be used: 'utf-8' codec .*"):
        JinjaTemplates(tmp_path)


def test_a_missing_folder_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(
        HeraldError, match=r"^templates.directory .*/none is not a folder: make it, or leave .*"
    ):
        JinjaTemplates(tmp_path / "none")


def test_a_template_that_fails_for_one_message_only_fails_in_one_line_without_its_values(
    tmp_path: Path,
) -> None:
    write(tmp_path, sms="{{ 1 / (transaction_id | length - 9) }}")
    templates = JinjaTemplates(tmp_path)

    with pytest.raises(HeraldError, match=r"^template sms.txt cannot be used: division by zero\Z"):
        templates.text(message(transaction="123456789"))


def test_a_text_that_leaves_no_room_for_one_message_only_is_an_error_then(tmp_path: Path) -> None:
    write(tmp_path, sms="{% if transaction_id == 'long' %}{{ 'x' * 2000 }}{% endif %}ok")
    templates = JinjaTemplates(tmp_path)

    with pytest.raises(HeraldError, match="has over 1600 characters"):
        templates.text(message(transaction="long"))
