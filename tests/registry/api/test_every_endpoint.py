"""Every operation of the schema, sent what nobody should send: a refusal in JSON each time, and never a 500."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from registry.access import SYSTEM
from registry.services import aliases, assignments, bulk_moves, clients, freezes, uploads, webhooks
from registry.services.announced import Announced
from registry.services.bulk_plans import Filter
from tests.make import make_dataset_version, make_version

METHODS = ("get", "post", "put", "patch", "delete")
SCHEMA = SchemaGenerator().get_schema(request=None, public=True)
OPERATIONS = sorted(
    (path, method) for path, item in SCHEMA["paths"].items() for method in METHODS if method in item
)
NAMES = {
    "team": "health", "name": "triage", "base": "llama", "number": "1", "ref": "1", "alias": "production",
    "slot": "default", "id": "1", "user": "bob@example.org", "file": "adapter_config.json", "part": "1",
}  # fmt: skip
ODD = [None, [[]], [{}], "x\x00", "\ud800", "a" * 5000, True, 10**400, "a/b@c"]
BODIES = [b"", b"null", b"[1]", b"{", b"\xff\xfe", b'{"a":' * 5000]
ODD_QUERIES = ["", "x\x00", "9" * 30, "a/b@1", "9999-12-31T23:59:59-14:00"]
GOOD = {
    "/adapters": {"team": "health", "name": "a", "vertical": "v", "base_model": "llama"},
    "/adapters/{team}/{name}/aliases/{alias}": {"version": 1},
    "/adapters/{team}/{name}/aliases/{alias}/approvals": {"version": 1},
    "/adapters/{team}/{name}/aliases/{alias}/protection": {"approvals_required": 1},
    "/assignments/bulk": {"team": "health", "target": {"adapter": "health/triage", "version": 1}},
    "/assignments/restore": {"team": "health", "at": "2020-01-01T00:00:00Z"},
    "/base-models": {"name": "b"},
    "/base-models/{base}/versions": {"source": "hf://a/b"},
    "/campaigns": {"base_model": "llama"},
    "/clients": {"team": "health", "name": "c"},
    "/clients/{team}/{name}/assignments/{slot}": {"adapter": "health/triage"},
    "/clients/{team}/{name}/keys": {"name": "k"},
    "/datasets": {"team": "health", "name": "d", "vertical": "v"},
    "/federation": {
        "team": "health",
        "issuer": "https://ci.example.org",
        "audience": "a",
        "subject": "s",
        "scopes": ["read"],
    },
    "/token-exchange": {"team": "health", "token": "x.y.z"},
    "/evaluations": {"subjects": ["health/triage@1"], "datasets": ["health/triage@1"]},
    "/freezes": {"team": "health", "reason": "r", "until": "2999-01-01T00:00:00Z"},
    "/staleness/waive": {"adapter": "health/triage", "version": 1, "reason": "r", "until": "2999-01-01T00:00:00Z"},
    "/teams": {"slug": "t", "name": "T"},
    "/teams/{team}/members": {"user": "bob@example.org", "role": "viewer"},
    "/tokens": {"team": "health", "name": "t", "scopes": ["read"]},
    "/uploads": {"team": "health", "files": [{"path": "p", "size": 1, "sha256": "a" * 64}]},
    "/users": {"user": "dana@example.org"},
    "/webhooks": {"team": "health", "url": "https://a.example", "events": ["*"]},
    "/training-jobs": {"adapter": "health/triage", "dataset": "health/triage@1"},
}


@pytest.fixture
def full(world, store):
    """Something at every address."""
    webhooks.create(by=SYSTEM, team=world.health, url="https://a.example", events=["*"])
    version = make_version(world.health)
    make_dataset_version(world.health, "triage")
    alias = aliases.move(by=SYSTEM, adapter=version.adapter, name="production", version=version, reason="")
    uploads.create(by=SYSTEM, team=world.health, files=[Announced("p", 1, "a" * 64)])
    client = clients.create(by=SYSTEM, team=world.health, name="triage", vertical="")
    target = assignments.Target(version.adapter, alias)
    assignments.assign(by=SYSTEM, client=client, slot="default", target=target, reason="")
    pinned = assignments.Target(version.adapter, version=version)
    bulk_moves.assign(by=SYSTEM, team=world.health, narrowed=Filter(), target=pinned, reason="")
    until = timezone.now() + timedelta(hours=1)
    freezes.lift(by=SYSTEM, freeze=freezes.freeze(by=SYSTEM, team=world.health, reason="r", until=until))


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
        answer.close()


@pytest.mark.parametrize("at", OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_it_answers_nonsense_with_a_refusal(api, full, at):
    path, method = at
    operation, admin = SCHEMA["paths"][path][method], api("admin")
    admin.raise_request_exception = False
    url = re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path)
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
