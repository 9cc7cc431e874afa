"""Addresses that the plain ASCII pattern does not settle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.email_address import address_fault, ascii_domain


@pytest.mark.parametrize(
    "address",
    [
        "jörg@bücher.example",
        "用户@例子.广告",
        "user@straße.de",
        "jörg@example.test",
        "jörg@mail.localhost",
        "jörg@mail.LOCALHOST",
        "jörg@printer.local",
        "jörg@sub.invalid",
        "o'brien.ü@example.org",
        "user@xn--bcher-kva.example",
    ],
)
def test_an_international_address_is_accepted(address: str) -> None:
    fault = address_fault(address)

    assert fault is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "@",
        "ü",
        "ü@",
        "@ü.de",
        "ü@localhost",
        "ü@münchen",
        "ü@.de",
        "ü@test",
        "ü@-ü.de",
        "ü@a_b.de",
        "ü..b@a.de",
        ".ü@a.de",
        '"ü x"@a.de',
        '"ü"@a.de',
        "ü@[127.0.0.1]",
        "ü@[IPv6:::1]",
        "Ü <ü@a.de>",
        "ü@a.de, ö@a.de",
        "ü@a.de\r\nBcc: x@y.de",
        "ü x@a.de",
        "ü@a b.de",
        "\ud800@a.de",
        "ü@" + "b" * 64 + ".de",
        "ü@xn--\u00fc.de",
    ],
)
def test_what_is_no_address_is_refused_in_words_that_do_not_repeat_it(address: str) -> None:
    fault = address_fault(address)

    assert fault == "must be a mail address: a part without quotes, @, and two or more labels"


def test_an_address_of_255_characters_is_too_long() -> None:
    address = "ü@" + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 60 + "." + "f" * 9

    assert len(address) == 255
    assert address_fault(address) == "must have at most 254 characters"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_no_text_makes_the_rule_raise(text: str) -> None:
    assert address_fault(text) is None or isinstance(address_fault(text), str)
    assert address_fault(text + "@ü.de") is None or isinstance(address_fault("ü@" + text), str | None)


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("Bücher.LOCALHOST", "xn--bcher-kva.LOCALHOST"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("example.org", "example.org"),
    ],
)
def test_a_domain_gets_its_form_for_dns_by_the_rules_of_2008(domain: str, expected: str) -> None:
    # The standard library's codec follows the rules of 2003 and would send straße.de's mail to strasse.de.
    found = ascii_domain(domain)

    assert found == expected


@pytest.mark.parametrize(
    "domain", ["", "localhost", "a b", "-ü.de", "ü@x.de", "ü\r\n.de", "xn--\u00fc.de", "\ud800.de"]
)
def test_what_is_no_domain_has_no_form_for_dns(domain: str) -> None:
    found = ascii_domain(domain)

    assert found is None
