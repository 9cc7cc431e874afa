"""The pool's rule: whatever servers and cancels do, no mail ever gets another mail's answer."""

import asyncio
import random
import ssl
from dataclasses import dataclass, field, replace

import pytest

from adapters.email_address import ascii_domain
from adapters.smtp import SmtpEmailSender, SmtpServer
from domain.outcome import ChannelDown, Delivered, Outcome, Refused, TryAgain
from domain.ports import Mail
from tests.smtp_server import CLOSE, HANG, Answer, SmtpTestServer, raw, say, say_and_close
from tests.tls_certificate import make_certificate

MAILS = 60
SEEDS = range(16)
CANCELLED = 0.1  # of the steps of a mail
OK = {"DATA": "354", "connect": "220"}
# Half of all answers are as they should be, so that connections come back to the pool.
TROUBLE = (
    ["ok"] * 14
    + ["slow", "in pieces", "twice", "twice", "4yz", "4yz", "5yz", "5yz", "421", "450 4.3.0"]
    + ["close", "half", "garbage", "hang"]
)
# A refusal of MAIL or RSET says nothing of a mail that the server could name.
NAMELESS = ("connect", "EHLO", "MAIL", "RSET")
OF_A_MAIL = {"4yz", "5yz"}


def line(code: str, tag: str) -> bytes:
    return f"{code} {tag}\r\n".encode()


@dataclass
class Trouble:
    """Draws every answer of the server, and writes the recipient's name into each that knows one."""

    draw: random.Random
    promised: dict[str, set[str]] = field(default_factory=dict)  # the kinds of answers about a mail
    tasks: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)

    def __call__(self, phase: str, recipient: str, usual: Answer) -> Answer:
        tag = recipient.partition("@")[0] or phase
        if tag in self.tasks and self.draw.random() < CANCELLED:  # while its answer is on its way
            asyncio.get_running_loop().call_later(self.draw.random() / 100, self.tasks[tag].cancel)
        kind = self.draw.choice(TROUBLE)
        if phase == "QUIT" or (phase in NAMELESS and kind in OF_A_MAIL):
            return usual
        told = self._answer(kind, line(OK.get(phase, "250"), tag), tag)
        self.promised.setdefault(tag, set()).add(told.data[:1].decode("latin-1"))
        return told

    def _answer(self, kind: str, ok: bytes, tag: str) -> Answer:
        refused = line("550", tag)
        answers = {
            "ok": raw(ok),
            "slow": replace(raw(ok), seconds=self.draw.random() / 100),
            "in pieces": replace(raw(ok[:6]), late=ok[6:]),
            "twice": raw(ok + self.draw.choice([ok, refused])),
            "4yz": raw(line("450", tag)),
            "5yz": raw(refused),
            "421": say_and_close(f"421 {tag}"),
            "450 4.3.0": say(f"450 4.3.0 {tag}"),
            "close": CLOSE,
            "half": raw(ok[:5], "close"),
            "garbage": raw(b"\xff\x00 " + ok),
            "hang": HANG,
        }
        return answers[kind]


async def send_all(sender: SmtpEmailSender, trouble: Trouble) -> dict[str, Outcome | None]:
    """Each mail's outcome, and None for what was cancelled."""

    async def one(name: str) -> Outcome:
        to = f"{name}@x.test"
        mail = Mail(to=to, subject=name, text="t\n", html="<p>", message_id=f"<{name}@x>", date=0.0)
        return await sender.send(mail, fresh=trouble.draw.random() < 0.03)

    trouble.tasks.update(
        {name: asyncio.ensure_future(one(name)) for name in map("m{}n".format, range(MAILS))}
    )
    await asyncio.wait(trouble.tasks.values())
    return {name: None if task.cancelled() else task.result() for name, task in trouble.tasks.items()}


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_mail_ever_gets_anothers_answer(seed: int) -> None:
    trouble = Trouble(random.Random(seed))
    async with SmtpTestServer(script=trouble) as server:
        await check(server, trouble)


@pytest.mark.parametrize("seed", SEEDS)
async def test_over_tls_no_mail_ever_gets_anothers_answer(
    seed: int, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    trouble = Trouble(random.Random(seed))
    for_server, trusting = contexts
    async with SmtpTestServer(
        script=trouble, tls=for_server, tls_at_once=True, in_octets=seed % 2 == 1
    ) as server:
        await check(server, trouble, trusting)


async def check(server: SmtpTestServer, trouble: Trouble, trusting: ssl.SSLContext | None = None) -> None:
    settings = SmtpServer(
        host="127.0.0.1",
        port=server.port,
        sender="a@x.test",
        connections=3,
        tls="none" if trusting is None else "tls",
        timeout_seconds=0.3,
        data_timeout_seconds=0.3,
    )
    async with SmtpEmailSender(settings, ascii_domain, tls_context=trusting) as sender:
        outcomes = await send_all(sender, trouble)

    taken = [str(one.message["Subject"]) for one in server.mails]
    delivered = {name: one.provider_id for name, one in outcomes.items() if isinstance(one, Delivered)}
    judged = {name: one.reason for name, one in outcomes.items() if isinstance(one, Refused | TryAgain)}
    assert delivered == {name: name for name in delivered}
    assert [reason for name, reason in judged.items() if not reason.endswith(f" {name}")] == []
    assert {name for name, one in outcomes.items() if isinstance(one, Refused)} <= said(trouble, "5")
    assert {name for name, one in outcomes.items() if isinstance(one, TryAgain)} <= said(trouble, "4")
    assert set(delivered) <= set(taken)
    assert not {name for name, one in outcomes.items() if isinstance(one, ChannelDown)} & set(taken)
    assert len(taken) == len(set(taken))


def said(trouble: Trouble, digit: str) -> set[str]:
    """The mails that the server answered so."""
    return {tag for tag, digits in trouble.promised.items() if digit in digits}
