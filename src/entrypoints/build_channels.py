"""Builds what the channels send with. A library is imported when what it is for is asked for."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.email_address import address_fault, ascii_domain
from adapters.system_clock import SystemClock
from application.notify_email import NotifyByEmail
from domain.ports import EmailSender, SmsSender, Templates
from entrypoints.settings_model import Settings

if TYPE_CHECKING:
    from adapters.http_sms import SmsProvider
    from adapters.smtp import SmtpServer


def smtp_server(settings: Settings) -> "SmtpServer":
    from adapters.smtp import SmtpServer

    smtp = settings.smtp
    return SmtpServer(
        host=smtp.host,
        port=smtp.port,
        tls=smtp.tls,
        username=smtp.username,
        password=smtp.password.get_secret_value(),
        sender=smtp.sender,
        connections=smtp.connections,
        timeout_seconds=smtp.timeout_seconds,
        data_timeout_seconds=smtp.data_timeout_seconds,
    )


def smtp_sender(settings: Settings) -> EmailSender:
    from adapters.smtp import SmtpEmailSender

    return SmtpEmailSender(smtp_server(settings), ascii_domain)


def sms_provider(settings: Settings) -> "SmsProvider":
    from adapters.http_sms import SmsProvider

    sms = settings.sms
    return SmsProvider(
        url=sms.url,
        account_sid=sms.account_sid,
        auth_token=sms.auth_token.get_secret_value(),
        sender=sms.sender,
        connections=sms.connections,
        timeout_seconds=sms.timeout_seconds,
    )


def http_sms_sender(settings: Settings) -> SmsSender:
    from adapters.http_sms import HttpSmsSender

    return HttpSmsSender(sms_provider(settings))


def templates(settings: Settings) -> Templates:
    from adapters.jinja_templates import JinjaTemplates

    return JinjaTemplates(Path(settings.templates.directory) if settings.templates.directory else None)


def notify_by_email(
    sender: EmailSender, templates: Templates, settings: Settings, clock: SystemClock
) -> NotifyByEmail:
    from adapters.smtp_message import Mailbox

    domain = Mailbox.parse(settings.smtp.sender).domain
    return NotifyByEmail(sender, templates, domain, clock, address_fault)
