"""Whether what is sent arrives in the inbox on this machine."""

from urllib.parse import urlsplit

from entrypoints.settings_model import Settings

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def takes_mail(settings: Settings) -> bool:
    """Whether mails of these settings go to the inbox."""
    return settings.smtp.host in _here(settings) and settings.smtp.port == settings.inbox.smtp_port


def takes_texts(settings: Settings) -> bool:
    """Whether texts of these settings go to the inbox."""
    url = urlsplit(settings.sms.url)
    return url.hostname in _here(settings) and url.port == settings.inbox.sms_port


def _here(settings: Settings) -> set[str]:
    return {settings.inbox.host, *_LOOPBACK}
