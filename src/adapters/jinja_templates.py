"""What a mail and a text say, from Jinja2 templates: built in, a user's, or a user's for one topic.

A template knows `request_id`, `topic_name`, `message_body`, `transaction_id` and `customer_id`; what
the message does not have is an empty string. It runs in Jinja2's sandbox, and HTML is escaped.
"""

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.errors import HeraldError
from domain.message import TEXT_LIMIT, Message
from domain.personal_data import mask

SUBJECT, PLAIN, HTML, SMS = "email.subject.txt", "email.text.txt", "email.html", "sms.txt"
FILES = (SUBJECT, PLAIN, HTML, SMS)
SMS_LIMIT = 1600
"""Characters of one text: what Twilio's Messages API takes at most as `Body`."""

_BUILT_IN = Path(__file__).parent / "templates"
_CUT = "…"
_LONGEST_TOPIC = 249  # Kafka's limit of a topic's name
_SAMPLES = (
    Message(
        request_id="0197fa3e-1111-7000-8000-000000000000",
        topic_name="transactions",
        message_body="Paid & booked <today>\nThank you",
        transaction_id="TX-1",
        customer_id="C-1",
    ),
    Message(request_id="1", topic_name="t"),
)
_LONGEST = Message(
    request_id="r" * 128,
    topic_name="t" * _LONGEST_TOPIC,
    message_body=_CUT,
    transaction_id="W" * TEXT_LIMIT,
    customer_id="W" * TEXT_LIMIT,
)
_Compiled = Mapping[str, Template]


class JinjaTemplates:
    """Every template is compiled, and tried with sample messages, when this is made.

    `directory`: None for what is built in; else single files of it win over the built-in ones, and
    those in a folder of it that is named for a topic win for that topic. Raises `HeraldError`.
    """

    def __init__(self, directory: Path | None = None) -> None:
        environment = _environment(directory)
        self._general = {name: _compile(environment, name) for name in FILES}
        self._by_topic = {
            folder.name: self._general | _found_in(folder, environment) for folder in _folders(directory)
        }
        for templates in (self._general, *self._by_topic.values()):
            _try_out(templates)

    def mail(self, message: Message) -> tuple[str, str, str]:
        """Subject (one line), plain text and HTML. Raises `HeraldError` when a template fails."""
        return _mail(self._of(message), _values(message))

    def text(self, message: Message) -> str:
        """At most 1,600 characters: the body is cut to fit. Raises `HeraldError` when a template fails."""
        return _text(self._of(message)[SMS], _values(message))

    def _of(self, message: Message) -> _Compiled:
        return self._by_topic.get(message.topic_name, self._general)


def _environment(directory: Path | None) -> ImmutableSandboxedEnvironment:
    if directory is not None and not directory.is_dir():
        raise HeraldError(
            f"templates.directory {directory} is not a folder: make it, or leave the setting empty"
        )
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader([_BUILT_IN] if directory is None else [directory, _BUILT_IN]),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


def _folders(directory: Path | None) -> list[Path]:
    try:
        return [] if directory is None else sorted(path for path in directory.iterdir() if path.is_dir())
    except OSError as error:
        raise HeraldError(f"templates.directory {directory} cannot be read: {error.strerror}") from error


def _found_in(folder: Path, environment: ImmutableSandboxedEnvironment) -> dict[str, Template]:
    return {
        name: _compile(environment, f"{folder.name}/{name}") for name in FILES if (folder / name).is_file()
    }


def _compile(environment: ImmutableSandboxedEnvironment, name: str) -> Template:
    try:
        template = environment.get_template(name)
    except Exception as error:
        raise _fault(name, error) from error
    # Jinja2 copies them for each rendering, and its own mapping of them takes long to go through.
    template.globals = dict(template.globals)
    return template


def _values(message: Message) -> dict[str, str]:
    return {
        "request_id": message.request_id,
        "topic_name": message.topic_name,
        "message_body": message.message_body or "",
        "transaction_id": message.transaction_id or "",
        "customer_id": message.customer_id or "",
    }


def _mail(templates: _Compiled, values: Mapping[str, str]) -> tuple[str, str, str]:
    subject = " ".join(_render(templates[SUBJECT], values).split())
    return subject, _render(templates[PLAIN], values).strip() + "\n", _render(templates[HTML], values)


def _text(template: Template, values: Mapping[str, str]) -> str:
    whole = _render(template, values).strip()
    return whole if len(whole) <= SMS_LIMIT else _shortened(template, values)


def _shortened(template: Template, values: Mapping[str, str]) -> str:
    """The text with as much of the body as fits; only the body is cut, wherever the template prints it."""
    body = values["message_body"]

    def cut_to(length: int) -> str:
        shown = body[:length].rstrip() + _CUT
        return _render(template, {**values, "message_body": shown}).strip()

    fitting = bisect_right(range(len(body)), SMS_LIMIT, key=lambda length: len(cut_to(length)))
    if fitting == 0:
        raise HeraldError(
            f"template {template.name} has over {SMS_LIMIT} characters beside the body: shorten it"
        )
    return cut_to(fitting - 1)


def _render(template: Template, values: Mapping[str, str]) -> str:
    try:
        return template.render(values)
    except Exception as error:
        raise _fault(template.name or "", error) from error


def _try_out(templates: _Compiled) -> None:
    """Finds at the start what would otherwise fail for the first customer."""
    for sample in map(_values, _SAMPLES):
        if not _mail(templates, sample)[0]:
            raise HeraldError(f"template {templates[SUBJECT].name} gives an empty subject: write one line")
        if not _text(templates[SMS], sample):
            raise HeraldError(f"template {templates[SMS].name} gives an empty text: write at least one word")
    _text(templates[SMS], _values(_LONGEST))


def _fault(name: str, error: Exception) -> HeraldError:
    line = getattr(error, "lineno", None)
    place = f"template {name}, line {line}" if line else f"template {name}"
    said = " ".join(mask(str(error)).split()) or type(error).__name__
    return HeraldError(f"{place} cannot be used: {said}")
