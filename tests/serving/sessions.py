"""People at an installation's pages, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx

from tests.serving.installation import Installation


def web(site: Installation) -> str:
    return f"http://127.0.0.1:{site.port}"


def new_person(site: Installation, name: str, role: str = "owner") -> tuple[str, str]:
    """(e-mail, password) of somebody who was just taken into the team."""
    email = f"{name}@example.org"
    password = site.api("POST", "/users", {"user": email})["password"]
    site.api("POST", "/teams/health/members", {"user": email, "role": role})
    return email, str(password)


def signed_in(site: Installation, email: str, password: str) -> httpx.Client:
    client = httpx.Client(base_url=web(site), timeout=30)  # hashing a password takes long where all are busy
    assert submit(client, "/accounts/login/", login=email, password=password).status_code == 302
    assert client.get("/account").status_code == 200
    return client


def form(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    """How a browser sends a form of ours."""
    client.get("/accounts/login/")
    token = client.cookies["csrftoken"]
    return {"data": {**fields, "csrfmiddlewaretoken": token}, "headers": {"Origin": str(client.base_url)}}


def submit(client: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    return client.post(path, **form(client, **fields))
