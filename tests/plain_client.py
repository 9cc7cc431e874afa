"""An HTTP client for local servers. Loading the machine's certificates takes 25 ms a client otherwise."""

import ssl
from typing import Any

import httpx

_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def plain_client(base_url: str = "", **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=base_url, verify=_NO_CERTIFICATES, **options)
