"""Whether the mail server answers, as far as one can ask without sending a mail."""

import ssl
import time
from collections.abc import Callable
from dataclasses import replace

from adapters.one_off_thread import name_fault
from adapters.smtp_connection import SmtpConnection, SmtpServer
from adapters.smtp_replies import Phase
from domain.diagnosis import Finding, Seen, ok, warning, wrong
from domain.outcome import ChannelDown

_NAME = "mail server"
_DAY = 86_400
_CERTIFICATE_DAYS = 14
_REMEDIES = {
    Phase.CONNECT: "see that it runs ('herald inbox' is a local one), and set smtp.host, smtp.port, smtp.tls",
    Phase.EHLO: "see that a mail server listens there, and that smtp.tls fits it",
    Phase.STARTTLS: "set smtp.tls to what the server offers, or have its certificate mended",
    Phase.AUTH: "set smtp.username and smtp.password to what the server knows",
}


class SmtpProbe:
    """Connects, says EHLO, encrypts and logs in, as a consumer does, and says QUIT.

    `tls_context`: None for the system's authorities. `seconds`: for all of it. `now`: epoch seconds.
    """

    def __init__(
        self,
        server: SmtpServer,
        local_hostname: str,
        *,
        tls_context: ssl.SSLContext | None = None,
        seconds: float = 4.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._server = replace(server, timeout_seconds=min(server.timeout_seconds, seconds))
        self._local_hostname = local_hostname
        self._tls_context = tls_context
        self._now = now

    async def look(self) -> Seen:
        if fault := await name_fault(self._server.host, self._server.timeout_seconds):
            return Seen((wrong(_NAME, fault, "set smtp.host, or mend the name server"),))
        if self._tls_context is None and self._server.tls != "none":
            self._tls_context = ssl.create_default_context()
        connection = SmtpConnection(self._server, self._tls_context, self._local_hostname)
        met = await connection.open()
        where = f"{self._server.host}:{self._server.port}"
        if met is not None:
            said = met.reason if isinstance(met, ChannelDown) else str(met)
            reason = said.replace(f" {self._server.host} on port {self._server.port}:", "")
            remedy = _REMEDIES.get(connection.phase, _REMEDIES[Phase.EHLO])
            return Seen((wrong(_NAME, f"{where}, {reason}", remedy),))
        try:
            return Seen((self._well(where, connection.encryption),))
        finally:
            connection.goodbye()

    def _well(self, where: str, encryption: "ssl.SSLObject | ssl.SSLSocket | None") -> Finding:
        login = ", and takes the login" if self._server.username else ""
        if encryption is None:
            return ok(_NAME, f"{where} answers{login}; not encrypted")
        days = self._days_left(encryption)
        says = (
            f"{where} answers over {encryption.version()}{login}; its certificate holds for {days:.0f} days"
        )
        if days < _CERTIFICATE_DAYS:
            return warning(_NAME, says, "have the mail server's certificate renewed")
        return ok(_NAME, says)

    def _days_left(self, encryption: "ssl.SSLObject | ssl.SSLSocket") -> float:
        ends = (encryption.getpeercert() or {}).get("notAfter")
        return (ssl.cert_time_to_seconds(str(ends)) - self._now()) / _DAY if ends else float("inf")
