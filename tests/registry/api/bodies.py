"""The schema of the API, and a good body for each operation that takes one."""

from __future__ import annotations

from drf_spectacular.generators import SchemaGenerator

SCHEMA = SchemaGenerator().get_schema(request=None, public=True)
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
