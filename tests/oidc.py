"""A real OIDC provider on this machine, whose people and claims a test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from oidc_provider_mock import run_server_in_thread


@contextmanager
def provider() -> Iterator[str]:
    """Its issuer."""
    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


def person(issuer: str, sub: str, **claims: Any) -> None:
    """What the provider says of `sub` from now on."""
    httpx.put(f"{issuer}/users/{sub}", json=claims).raise_for_status()


def agree(address: str, sub: str) -> str:
    """Sign in as `sub` at the address that the browser was sent to; where it is sent back to."""
    answer = httpx.post(address, data={"sub": sub})
    assert answer.status_code == 302, answer.text
    return answer.headers["Location"]
