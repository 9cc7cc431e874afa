"""The doctor's look at the SMS provider, against real servers on loopback."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate

import pytest

from adapters.http_sms import SmsProvider
from adapters.http_sms_probe import HttpSmsProbe
from domain.diagnosis import Finding, FindingState, Seen
from entrypoints.inbox import Inbox, InboxOptions
from entrypoints.inbox_outage import Outage
from tests.free_ports import free_ports
from tests.plain_client import plain_client
from tests.sms_provider import CLOSE, HANG, HttpAnswer, SmsTestProvider, answer, error
from tests.tls_certificate import make_certificate

SID = "AC00000000000000000000000000000000"
GOOD = answer(200, {"sid": SID, "status": "active"})


@pytest.fixture
async def provider() -> AsyncIterator[SmsTestProvider]:
    async with SmsTestProvider() as running:
        yield running


async def seen_at(url: str, *, seconds: float = 5.0, trusting: ssl.SSLContext | None = None) -> Seen:
    settings = SmsProvider(url=url, account_sid=SID, auth_token="hunter2", sender="+15005550006")
    seen = await HttpSmsProbe(settings, tls_context=trusting, seconds=seconds).look()
    for _ in range(5):  # TLS says goodbye after the probe has gone
        await asyncio.sleep(0)
    return seen


async def look(url: str, *, seconds: float = 5.0, trusting: ssl.SSLContext | None = None) -> Finding:
    [finding] = (await seen_at(url, seconds=seconds, trusting=trusting)).findings
    assert finding.name == "sms provider"
    assert "hunter2" not in f"{finding.says} {finding.remedy}"
    return finding


async def test_a_good_login_is_well_and_no_text_is_sent(provider: SmsTestProvider) -> None:
    provider.always = GOOD

    finding = await look(provider.url)

    [request] = provider.requests
    assert (finding.state, finding.says) == (FindingState.OK, f"{provider.url} answers and takes the login")
    assert request.path == f"GET /2010-04-01/Accounts/{SID}.json HTTP/1.1"
    assert request.headers["authorization"].startswith("Basic ")
    assert provider.texts == []


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        (error(401, 20003, "Authenticate"), FindingState.WRONG, ["HTTP 401", "refused", "sms.auth_token"]),
        (error(403, 20006, "Access denied"), FindingState.WRONG, ["HTTP 403", "refused", "sms.account_sid"]),
        (error(403, 20008, "Test login"), FindingState.WARNING, ["a login for tests"]),
        (error(404, 20404, "Not found"), FindingState.WARNING, ["HTTP 404", "sms.url"]),
        (answer(405, "no"), FindingState.WARNING, ["HTTP 405", "only when a text is sent"]),
        (error(429, 20429, "Too many"), FindingState.WRONG, ["HTTP 429", "sms.max_per_second"]),
        (answer(500, "oops"), FindingState.WRONG, ["HTTP 500", "status page"]),
        (answer(503, "", "Retry-After: 5"), FindingState.WRONG, ["HTTP 503"]),
        (answer(302, "", "Location: /elsewhere"), FindingState.WRONG, ["HTTP 302", "sms.url"]),
        (answer(200, "<html>a page</html>"), FindingState.WRONG, ["HTTP 200", "no account's", "sms.url"]),
        (answer(200, {"sid": SID, "status": "suspended"}), FindingState.WRONG, ["suspended"]),
        (answer(200, "[" * 50_000), FindingState.WRONG, ["no account's"]),
    ],
)
async def test_what_is_answered_instead_is_judged(
    provider: SmsTestProvider, said: HttpAnswer, state: FindingState, words: Sequence[str]
) -> None:
    provider.always = said

    finding = await look(provider.url)

    assert finding.state is state
    assert [word for word in words if word not in f"{finding.says} -> {finding.remedy}"] == []


@pytest.mark.parametrize(
    "said",
    [
        HANG,
        CLOSE,
        HttpAnswer(b"220 mail.test ESMTP\r\n", "close"),
        HttpAnswer(b"HTTP/1.1 200 OK\r\nCont", "close"),
    ],
    ids=["a black hole", "closed", "SMTP", "half an answer"],
)
async def test_no_answer_is_wrong(provider: SmsTestProvider, said: HttpAnswer) -> None:
    provider.on_connect = said

    finding = await look(provider.url, seconds=0.2)

    assert finding.state is FindingState.WRONG
    assert finding.says.startswith(provider.url)
    assert "sms.url" in finding.remedy


async def test_an_answer_that_drips_is_cut_off_in_time(provider: SmsTestProvider) -> None:
    provider.always = HttpAnswer(GOOD.data, drip=0.05)
    began = time.monotonic()

    finding = await look(provider.url, seconds=0.2)

    assert finding.says == f"{provider.url}: no answer within 0.2 s"
    assert time.monotonic() - began < 2


async def test_a_closed_port_is_wrong() -> None:
    [port] = free_ports(1)

    finding = await look(f"http://127.0.0.1:{port}")

    assert finding.says == f"http://127.0.0.1:{port}: the connection is refused"


async def test_tls_is_spoken_and_its_faults_are_told(
    provider: SmsTestProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    server, client = make_certificate(tmp_path_factory.mktemp("tls"))
    async with SmsTestProvider(tls=server, always=GOOD) as encrypted:
        well = await look(encrypted.url, trusting=client)
        untrusted = await look(encrypted.url)
        plain = await look(encrypted.url.replace("https", "http"), seconds=0.3)
    provider.on_connect = HttpAnswer(b"HTTP/1.1 400 Bad Request\r\n\r\n", "close")
    mismatch = await look(provider.url.replace("http", "https"))

    assert well.state is FindingState.OK
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted.says
    assert [one.state for one in (untrusted, plain, mismatch)] == [FindingState.WRONG] * 3


async def test_a_name_that_leads_nowhere_is_told_as_such() -> None:
    no_name = f"{'a' * 64}.test"  # too long a label: no name server is asked

    finding = await look(f"https://{no_name}")

    assert finding.says == f"the name {no_name} has no address (no host name)"
    assert "sms.url" in finding.remedy


async def test_its_date_tells_how_the_clocks_differ(provider: SmsTestProvider) -> None:
    provider.always = answer(200, {"sid": SID}, f"Date: {formatdate(time.time() + 3600, usegmt=True)}")

    [reading] = (await seen_at(provider.url)).clocks

    assert reading.source == "the SMS provider"
    assert reading.ahead == pytest.approx(3600, abs=2)
    assert not reading.may_lag


@pytest.mark.parametrize("date", ["", "Date: yesterday", "Date: Fri, 99 Foo 2030 99:99:99 GMT"])
async def test_a_date_that_is_none_tells_nothing(provider: SmsTestProvider, date: str) -> None:
    provider.always = answer(200, {"sid": SID}, *([date] if date else []))

    assert (await seen_at(provider.url)).clocks == ()


@pytest.mark.parametrize(
    ("outage", "state"),
    [
        (Outage.UP, FindingState.OK),
        (Outage.REJECT, FindingState.OK),
        (Outage.BUSY, FindingState.WRONG),
        (Outage.SLOW, FindingState.WRONG),
        (Outage.DOWN, FindingState.WRONG),
    ],
)
async def test_the_local_inbox_answers_it_as_its_outage_says(outage: Outage, state: FindingState) -> None:
    async with Inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=0)) as inbox:
        url = f"http://127.0.0.1:{inbox.ports.sms}"
        async with plain_client(f"http://127.0.0.1:{inbox.ports.http}") as client:
            await client.put("/api/v1/inbox/outage", json={"sms": outage})
        finding = await look(url, seconds=0.5)

    assert finding.state is state


async def test_the_local_inbox_wants_a_login_and_get_for_its_account() -> None:
    async with Inbox(InboxOptions(smtp_port=0, sms_port=0, http_port=0)) as inbox:
        path = f"http://127.0.0.1:{inbox.ports.sms}/2010-04-01/Accounts/{SID}.json"
        async with plain_client("") as client:
            answers = [await client.get(path), await client.post(path, auth=("a", "b"))]
            shown = await client.get(path, auth=("a", "b"))

    assert [one.status_code for one in answers] == [401, 405]
    assert answers[1].headers["allow"] == "GET"
    assert shown.json() == {"sid": SID, "friendly_name": "Herald inbox", "status": "active"}
