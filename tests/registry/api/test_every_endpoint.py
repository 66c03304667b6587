"""Every operation of the schema, sent what nobody should send: a refusal in JSON each time, and never a 500."""

from __future__ import annotations

import json

import pytest
from rest_framework.test import APIClient

from registry.access import SYSTEM
from registry.models import User
from registry.services import teams
from tests.registry.api.bodies import GOOD, SCHEMA
from tests.registry.filled import fill, kept

METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = sorted(
    (path, method) for path, item in SCHEMA["paths"].items() for method in METHODS if method in item
)
ODD = [None, [[]], [{}], "x\x00", "\ud800", "a" * 5000, True, 10**400, "a/b@c"]
BODIES = [b"", b"null", b"[1]", b"{", b"\xff\xfe", b'{"a":' * 5000]
ODD_QUERIES = ["", "x\x00", "9" * 30, "a/b@1", "9999-12-31T23:59:59-14:00"]
pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker, tmp_path_factory):
    """Something at every address, of a team whose owner is an administrator too."""
    with kept(django_db_blocker, tmp_path_factory.mktemp("endpoints")):
        made = fill(teams.create(by=SYSTEM, slug="health", name="Health"))
        User.objects.filter(pk=made.people["owner"].pk).update(is_staff=True)
        yield made


def fields(operation):
    """The names of the JSON body's fields, and those that a good body needs."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return sorted(SCHEMA["components"]["schemas"].get(name, {}).get("properties", {}))


def refused(answer, sent):
    where = f"{sent} -> {answer.status_code}"
    assert answer.status_code < 500, where
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/problem+json", where
        assert answer.status_code != 422 or answer.json()["errors"], where
    if answer.streaming:
        b"".join(answer)  # closed unread it would take the transaction of these tests along


@pytest.mark.parametrize("at", OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_it_answers_nonsense_with_a_refusal(filled, at):
    path, method = at
    operation, admin = SCHEMA["paths"][path][method], APIClient(raise_request_exception=False)
    admin.credentials(HTTP_AUTHORIZATION=f"Bearer {filled.tokens['owner']}")
    url = filled.path(path)
    if method == "get":
        for parameter in operation.get("parameters", []):
            for value in ODD_QUERIES if parameter["in"] == "query" else []:
                refused(admin.get(url, {parameter["name"]: value}), (url, parameter["name"], value))
        return
    for text in BODIES:
        refused(admin.generic(method, url, text, content_type="application/json"), (url, text[:20]))
    for name in fields(operation):
        for value in ODD:
            body = json.dumps({**GOOD.get(path.removeprefix("/api/v1"), {}), name: value})
            refused(
                admin.generic(method, url, body, content_type="application/json"), (url, name, str(value)[:50])
            )
