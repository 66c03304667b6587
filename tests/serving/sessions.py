"""People at an installation's pages, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def asked(person: httpx.Client, *versions: str, base: str = "", **more: Any) -> Iterator[httpx.Response]:
    """The playground's answer to a short question, as it begins."""
    question = {"prompt": "hello", "max_tokens": 8, "temperature": 0, **more}
    sent = form(person, version=list(versions), base=base, **question)
    with person.stream("POST", "/playground/answers", **sent) as answer:
        yield answer


def told(person: httpx.Client, *versions: str, base: str = "", **more: Any) -> list[list[dict[str, Any]]]:
    """All that it says, column by column."""
    with asked(person, *versions, base=base, **more) as answer:
        assert answer.status_code == 200, answer.read()
        lines = [json.loads(line) for line in answer.iter_lines() if line]
    return [[line for line in lines if line["column"] == at] for at in range(len(versions) + bool(base))]


def text_of(lines: list[dict[str, Any]]) -> str:
    return "".join(line.get("text", "") for line in lines)


def submit(client: httpx.Client, path: str, **fields: Any) -> httpx.Response:
    return client.post(path, **form(client, **fields))
