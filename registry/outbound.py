"""What the server fetches from addresses that people gave it: nothing inside, nothing large, nothing twice.

A name is resolved once, every address that it has must be public, and the connection goes to one that was checked:
a second look-up could say something else. https only, no redirects. `OUTBOUND_ALLOWED` lists hosts (`host` or
`host:port`) that may be inside and speak http, for identity providers on the premises.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx
from django.conf import settings

TIMEOUT_SECONDS = 10.0
LARGEST = 64 * 1024
SHARED = ipaddress.ip_network("100.64.0.0/10")  # carriers' own, which is_global calls neither


class Refused(Exception):
    """This address is not called, or didn't answer as it should."""


def get_json(url: str) -> Any:
    """The JSON at `url`; raises Refused."""
    parts = _parts(url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    address = _checked(host, port)
    literal = f"[{address}]" if ":" in address else address
    target = f"{parts.scheme}://{literal}:{port}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        with (
            httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET", target, headers={"Host": parts.netloc}, extensions={"sni_hostname": host}
            ) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise Refused(f"{host} answered {answer.status_code}")
            return json.loads(_bounded(answer))
    except (httpx.HTTPError, ValueError, RecursionError) as error:
        raise Refused(f"{host}: {type(error).__name__}") from error


def _bounded(answer: httpx.Response) -> bytes:
    body = b""
    for block in answer.iter_bytes():
        body += block
        if len(body) > LARGEST:
            raise Refused("the answer is too large")
    return body


def check(url: str) -> None:
    """Raise Refused where the form of `url` alone says that it is not called."""
    _parts(url)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("that is no address") from error
    if not parts.hostname or parts.username or parts.password or not url.isascii() or not url.isprintable():
        raise Refused("that is no address of a web server")
    if parts.scheme != "https" and not (parts.scheme == "http" and _allowed(parts.hostname, port or 80)):
        raise Refused("only https is called")
    return parts


def _allowed(host: str, port: int) -> bool:
    return host in settings.OUTBOUND_ALLOWED or f"{host}:{port}" in settings.OUTBOUND_ALLOWED


def _checked(host: str, port: int) -> str:
    """One address of `host`; all that it has must be public."""
    try:
        found = [str(row[4][0]) for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise Refused(f"{host} has no address") from error
    if not _allowed(host, port) and not all(public(one) for one in found):
        raise Refused(f"{host} lies inside")
    return found[0]


def public(address: str) -> bool:
    """v4 or v6, also one mapped or tunnelled into the other."""
    one = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or one.sixtofour or (one.teredo[1] if one.teredo else None)
        if inner is not None:
            return public(str(inner))
        if one in ipaddress.ip_network("64:ff9b::/96"):
            return public(str(ipaddress.IPv4Address(int(one) & 0xFFFFFFFF)))
    return one.is_global and not one.is_multicast and one not in SHARED
