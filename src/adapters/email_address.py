"""Mail addresses beyond plain ASCII: RFC 6531 local parts and IDNA 2008 domains (email-validator)."""

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, ValidatedEmail, validate_email

from domain.message import EMAIL_LIMIT

_FAULT = "must be a mail address: a part without quotes, @, and two or more labels"


def address_fault(address: str) -> str | None:
    """What is wrong with a mail address, or None; never raises and asks no DNS.

    Its text names no part of the address.
    """
    if len(address) > EMAIL_LIMIT:
        return f"must have at most {EMAIL_LIMIT} characters"
    found = _validated(address)
    if found is None or "." not in (found.ascii_domain or ""):
        return _FAULT
    return None


def ascii_domain(domain: str) -> str | None:
    """The domain as DNS and SMTP have it (A-labels, RFC 5890), or None where there is no such form."""
    found = _validated(f"a@{domain}")
    if found is None or found.ascii_domain is None:
        return None
    last = domain.rpartition(".")[2]
    return found.ascii_domain.rpartition(".")[0] + "." + last if _is_reserved(last) else found.ascii_domain


def _validated(address: str) -> ValidatedEmail | None:
    try:
        return validate_email(
            _without_reserved_name(address), check_deliverability=False, globally_deliverable=False
        )
    except (EmailNotValidError, ValueError, IndexError, RecursionError):
        return None


def _without_reserved_name(address: str) -> str:
    """The library refuses reserved names and cannot be told not to: it is shown a neutral one as long."""
    head, dot, last = address.rpartition(".")
    return f"{head}.{'x' * len(last)}" if dot and _is_reserved(last) else address


def _is_reserved(label: str) -> bool:
    return label.lower() in SPECIAL_USE_DOMAIN_NAMES
