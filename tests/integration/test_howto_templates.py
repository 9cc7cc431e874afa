"""docs/howto/change-a-template.md, followed as it stands."""

import re
from pathlib import Path

from adapters.jinja_templates import FILES, _values
from domain.message import Message
from tests.site import site, sqlite_log

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "change-a-template.md"


async def test_templates_of_ones_own_say_what_arrives(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    write, for_topic, check, start = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    [setting] = re.findall(r"^(HERALD_\w+)=templates make run$", start, re.MULTILINE)
    async with site(tmp_path, sqlite_log() | {setting: "templates"}) as one:
        for script in (write, for_topic, check):
            await one.shell(script)
        await one.start_all()
        await one.post(transaction_id="T-7", message_body="It is on its way.")
        assert await one.arrived(emails=1, sms=1)
        arrived = await one.inbox()
    assert arrived["emails"][0]["subject"] == "Paid: T-7"
    assert "Transaction Successful" in arrived["emails"][0]["text"], "what is missing stays built in"
    assert arrived["sms"][0]["body"] == "Your order T-7: It is on its way."


def test_the_page_names_every_field_a_template_knows() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name in (*_values(Message(request_id="1", topic_name="t")), *FILES):
        assert f"`{name}`" in text
