"""What the server asks of addresses that people gave it: nothing inside, nothing large, nothing long.

A name is resolved once, every address that it has must be public, and the connection goes to one that was checked:
a second look-up could say something else. TLS and `Host` still speak of the name. https only, no redirects, ten
seconds for all of it, the look-up too. `OUTBOUND_ALLOWED` lists hosts (`host` or `host:port`) that may be inside
and speak http.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from functools import cache
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpcore
import httpx
from django.conf import settings

TIMEOUT_SECONDS = 10.0
LARGEST = 64 * 1024
# What `is_global` lets by, or did in some Python: carriers' own, protocols', relays of 6to4.
SPECIAL = [ipaddress.ip_network(text) for text in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24")]
UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that was ever given out
NAT64 = ipaddress.ip_network("64:ff9b::/96")
_looking_up = threading.BoundedSemaphore(64)
PORTS = {"https": 443, "http": 80}


class Refused(Exception):
    """This address is not called, or didn't answer as it should."""


def get_json(url: str) -> Any:
    """The JSON at `url`; raises Refused."""
    status, body = _call("GET", url, read=True)
    host = urlsplit(url).hostname
    if status != httpx.codes.OK:
        raise Refused(f"{host} answered {status}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{host}: {type(error).__name__}") from error


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer, whatever it says; raises Refused where there is none."""
    return _call("POST", url, body, headers)[0]  # what it says beside that isn't read


def check(url: str) -> None:
    """Raise Refused where the form of `url` alone says that it is not called."""
    host, port = _authority(_parts(url))
    if _literal(host) and not public(host) and not _allowed(host, port):
        raise Refused(f"{host} lies inside")


def _call(
    method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, read: bool = False
) -> tuple[int, bytes]:
    parts = _parts(url)
    host, port = _authority(parts)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    where = httpcore.URL(scheme=parts.scheme, host=host, port=port, target=target)
    said = {"Host": parts.netloc, "User-Agent": "Plethora", **(headers or {})}
    if body:
        said["Content-Length"] = str(len(body))
    network = _Checked(time.monotonic() + TIMEOUT_SECONDS)
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_trusted(), network_backend=network) as pool,
            pool.stream(method, where, headers=list(said.items()), content=body) as answer,
        ):
            return answer.status, _bounded(answer.iter_stream()) if read else b""
    except (*FAILURES, ssl.SSLError, OSError, ValueError) as error:
        raise Refused(f"{host}: {_reason(error)}") from error


FAILURES = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".strip()[:200]


@cache
def _trusted() -> ssl.SSLContext:
    """The world's authorities, or those that `SSL_CERT_FILE` names."""
    return httpx.create_ssl_context()


def _bounded(blocks: Iterable[bytes]) -> bytes:
    body = b""
    for block in blocks:
        body += block
        if len(body) > LARGEST:
            raise Refused("the answer is too large")
    return body


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused("that is no address") from error
    odd = not url.isascii() or not url.isprintable() or any(sign in url for sign in " \\")
    if odd or not parts.hostname or "@" in parts.netloc or port == 0:
        raise Refused("that is no address of a web server")
    if parts.scheme != "https" and not (parts.scheme == "http" and _allowed(parts.hostname, port or 80)):
        raise Refused("only https is called")
    return parts


def _authority(parts: SplitResult) -> tuple[str, int]:
    return str(parts.hostname), parts.port or PORTS[parts.scheme]


def _allowed(host: str, port: int) -> bool:
    return host in settings.OUTBOUND_ALLOWED or f"{host}:{port}" in settings.OUTBOUND_ALLOWED


def _addresses(host: str, port: int, deadline: float) -> list[str]:
    """Those of `host`, of which all must be public."""
    try:
        rows = _looked_up(host, port, deadline)
    except TimeoutError as error:
        raise Refused(f"{host}: its name server took too long") from error
    except (OSError, UnicodeError) as error:
        raise Refused(f"{host} has no address") from error
    found = list(dict.fromkeys(str(row[4][0]) for row in rows))
    if not _allowed(host, port) and not all(public(one) for one in found):
        raise Refused(f"{host} lies inside")
    return found


def _looked_up(host: str, port: int, deadline: float) -> list[Any]:
    """`getaddrinfo` knows no deadline: where that is over it is left behind, in one of so many threads."""
    if not _looking_up.acquire(timeout=_left(deadline)):
        raise TimeoutError
    answer: Future[list[Any]] = Future()

    def look() -> None:
        try:
            answer.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:  # whoever waits is told
            answer.set_exception(error)
        finally:
            _looking_up.release()

    try:
        threading.Thread(target=look, daemon=True, name="look-up").start()
    except RuntimeError as error:  # the system gives no more threads
        _looking_up.release()
        raise TimeoutError from error
    return answer.result(_left(deadline))


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def public(address: str) -> bool:
    """v4 or v6, also one mapped or tunnelled into the other."""
    one = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(one, ipaddress.IPv6Address):
        inner = one.ipv4_mapped or one.sixtofour or (one.teredo[1] if one.teredo else None)
        if inner is not None:
            return public(str(inner))
        if one in NAT64:
            return public(str(ipaddress.IPv4Address(int(one) & 0xFFFFFFFF)))
        return one.is_global and one in UNICAST
    return one.is_global and not one.is_multicast and not any(one in network for network in SPECIAL)


class _Checked(httpcore.SyncBackend):
    """Connects to addresses that were checked, and to no others, until `deadline`."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        failure: Exception = Refused(f"{host} has no address")
        for address in _addresses(host, port, self.deadline):
            try:
                return _Timed(super().connect_tcp(address, port, timeout=_left(self.deadline)), self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error  # it may have no way to the one, and one to the next
        raise failure


class _Timed(httpcore.NetworkStream):
    """A stream whose every step ends at one moment: many short ones don't add up to a long call."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self.stream, self.deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - httpcore's word
        return self.stream.read(max_bytes, _left(self.deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - httpcore's word
        self.stream.write(buffer, _left(self.deadline))

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        kwargs["timeout"] = _left(self.deadline)
        return _Timed(self.stream.start_tls(*args, **kwargs), self.deadline)

    def close(self) -> None:
        self.stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout(f"it took longer than {TIMEOUT_SECONDS:.0f} s")
    return left
