"""Pages of other sites in the browser of somebody who can reach Herald."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_foreign_origin(origin: str | None, host: str) -> bool:
    """Whether a browser says that a page of another host (or of none) asks."""
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower() or not host
    except ValueError:
        return True


def may_be_rebound(host: str) -> bool:
    """Whether anybody on the internet could have given this machine the name that a `Host` header has.

    Such a page reads all that it likes: to the browser it is of this host (DNS rebinding). Addresses, names
    without a dot and those below `localhost` are nobody's to give.
    """
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return True
    return "." in name and not name.endswith(".localhost") and not _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
