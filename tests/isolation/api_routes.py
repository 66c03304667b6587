"""The routes of the REST API and of the Hub facade, each with what is asked there."""

from __future__ import annotations

from tests.isolation.asks import GET, Ask, Asks, get, post

V1 = "/api/v1"
ADAPTER = f"{V1}/adapters/{{team}}/{{name}}"
VERSION = f"{ADAPTER}/versions/{{ref}}"
ALIAS = f"{ADAPTER}/aliases/{{alias}}"
DATASET = f"{V1}/datasets/{{team}}/{{name}}"
CLIENT = f"{V1}/clients/{{team}}/{{name}}"
SLOT = f"{CLIENT}/assignments/{{slot}}"
TEAM, MINE, THEIRS = "{their.team.slug}", "{my.address}", "{their.address}"
OF_TEAM = {"team": TEAM}
UPLOADED = {"upload": "{their.ids[uploaded]}"}
TABLES = ({"format": "csv"}, {"format": "ndjson"})
UNTIL = "2999-01-01T00:00:00Z"
WORDS = {"q": "{their.name}"}
LABEL = {"label": "kind:{their.word}"}
DELIVERY = {"delivery": "{their.ids[deliveries]}"}
IMPORTED = {**UPLOADED, "base_version": 1}
SSE = {"HTTP_ACCEPT": "text/event-stream"}
WAIVER = {"adapter": THEIRS, "version": 1, "reason": "r", "until": UNTIL}
TRAINING = {"adapter": THEIRS, "dataset": f"{THEIRS}@1", "recipe": {"rank": 2, "steps": 2, "max_length": 32}}
ISSUER = {"team": TEAM, "issuer": "https://ci.example.org", "audience": "a", "subject": "s", "scopes": ["read"]}

INSTALLATION: dict[str, Asks] = {
    "/healthz": GET,
    "/readyz": GET,
    "/metrics": GET,
    "/api/schema/": GET,
    "/api/docs/": get({"script": "1"}),
    f"{V1}/me": GET,
    f"{V1}/serving": GET,
    f"{V1}/workers": GET,
    f"{V1}/storage": {"get": Ask(told=403)},
    f"{V1}/storage/sweep": post(told=403),
    f"{V1}/storage/scrub": post(told=403),
    f"{V1}/base-models": {**get(WORDS), **post({"name": "another"}, told=403)},
    f"{V1}/base-models/{{base}}": GET,
    f"{V1}/base-models/{{base}}/versions": {
        **GET, **post({"source": "upload:{their.ids[uploaded]}"}, told=403),
    },
    f"{V1}/base-models/{{base}}/versions/{{number}}": GET,
    f"{V1}/base-models/{{base}}/versions/{{number}}/impact": GET,
    f"{V1}/base-models/{{base}}/versions/{{number}}/clients": get(*TABLES),
    f"{V1}/base-models/{{base}}/versions/{{number}}/activate": post(told=403),
    f"{V1}/base-models/{{base}}/versions/{{number}}/deprecate": post(told=403),
    f"{V1}/base-models/{{base}}/versions/{{number}}/retire": post(told=403),
}  # fmt: skip

ACCESS: dict[str, Asks] = {
    f"{V1}/users": {"get": Ask(told=403), **post({"user": "new@example.org"}, told=403)},
    f"{V1}/users/{{user}}": {"get": Ask(told=403), "patch": Ask({"active": True}, told=403)},
    f"{V1}/users/{{user}}/sign-out": post(told=403),
    f"{V1}/teams": {**GET, **post({"slug": TEAM, "name": "T"}, told=403)},
    f"{V1}/teams/{{team}}": {**GET, "patch": Ask({"name": "T"})},
    f"{V1}/teams/{{team}}/members": {
        **GET, **post({"user": "{their.people[viewer].email}", "role": "editor"}),
    },
    f"{V1}/teams/{{team}}/members/{{user}}": {"delete": Ask()},
    f"{V1}/tokens": {**GET, **post({**OF_TEAM, "name": "t", "scopes": ["read"]})},
    f"{V1}/tokens/{{id}}": {"delete": Ask()},
    f"{V1}/tokens/{{id}}/rotate": post(),
    f"{V1}/federation": {**GET, **post(ISSUER)},
    f"{V1}/federation/{{id}}": {"delete": Ask()},
    f"{V1}/token-exchange": post({**OF_TEAM, "token": "x.y.z"}, told=401),
    f"{V1}/webhooks": {**get(OF_TEAM), **post({**OF_TEAM, "url": "https://a.example.org", "events": ["*"]})},
    f"{V1}/webhooks/{{id}}": {**GET, "patch": Ask({"enabled": False}), "delete": Ask()},
    f"{V1}/webhooks/{{id}}/deliveries": get({"event": "alias.moved"}),
    f"{V1}/webhooks/{{id}}/replay": post(DELIVERY, DELIVERY),
    f"{V1}/webhooks/{{id}}/rotate": post(),
    f"{V1}/audit": get(
        *TABLES, {"actor": "{their.people[owner].email}"}, {"object": f"adapter:{THEIRS}"}, {"client": THEIRS},
        {"client": THEIRS, "format": "csv"}, {"action": "alias.create"},
    ),
    f"{V1}/audit/verify": GET,
    f"{V1}/audit/export": get(
        *TABLES, {"table": "receipts"}, {"table": "receipts", "client": THEIRS},
        {"table": "receipts", "adapter": THEIRS}, {"table": "timeline", "client": THEIRS},
        {"table": "timeline", "client": THEIRS, "format": "csv"},
    ),
    f"{V1}/audit/keys": GET,
    f"{V1}/audit/holds": {**GET, **post({**OF_TEAM, "reason": "r"}, told=403)},
    f"{V1}/audit/holds/{{id}}": {"delete": Ask(query={"reason": "r"}, told=403)},
}  # fmt: skip

DATA: dict[str, Asks] = {
    f"{V1}/uploads": {
        **get(OF_TEAM), **post({**OF_TEAM, "files": [{"path": "p", "size": 1, "sha256": "a" * 64}]}),
    },
    f"{V1}/uploads/{{id}}": GET,
    f"{V1}/uploads/{{id}}/complete": post(told=409),
    f"{V1}/uploads/{{id}}/abort": post(),
    f"{V1}/uploads/{{id}}/files/{{number}}/parts/{{part}}": {
        "put": Ask(query={"signature": "{my.signature}"}, raw="{their.content}"),
    },
    f"{V1}/datasets": {
        **get(OF_TEAM, WORDS, {"vertical": "{their.word}"}), **post({**OF_TEAM, "name": "d", "vertical": "v"}),
    },
    DATASET: GET,
    f"{DATASET}/compare": get(left="1", right="2"),
    f"{DATASET}/versions": {**get({"status": "ready"}), **post(UPLOADED, UPLOADED)},
    f"{DATASET}/versions/{{number}}": GET,
    f"{DATASET}/versions/{{number}}/rows": GET,
    # What the seed assigns was trained on version 2.
    f"{DATASET}/versions/{{number}}/clients": {"get": Ask(queries=TABLES, bare=True)},
    f"{DATASET}/versions/{{number}}/archive": post(),
    f"{DATASET}/versions/{{number}}/withdraw": post(),
}  # fmt: skip

ADAPTERS: dict[str, Asks] = {
    f"{V1}/adapters": {
        **get(OF_TEAM, WORDS, LABEL, {"stale": "true"}),
        **post({**OF_TEAM, "name": "a", "vertical": "v", "base_model": "llama"}),
    },
    ADAPTER: {**GET, "patch": Ask({"description": "d"})},
    f"{V1}/adapter-versions": get(OF_TEAM, WORDS, LABEL, {"metric": "loss<=9"}),
    f"{ADAPTER}/compare": get(
        {"left": f"{THEIRS}@1", "right": "1"}, {"left": "1", "right": f"{THEIRS}@1"}, left="1", right="2",
    ),
    f"{ADAPTER}/versions": {
        **get({"status": "ready"}), **post(IMPORTED, IMPORTED, told=422),
    },
    VERSION: {**GET, "patch": Ask({"labels": {}})},
    f"{VERSION}/files/{{file}}": {
        "get": Ask(bare=True),
        "get what is known": Ask(headers={"HTTP_IF_NONE_MATCH": '"{their.digest}"'}, inside=False),
    },
    f"{VERSION}/archive.zip": GET,
    f"{VERSION}/clients": get(*TABLES),
    f"{VERSION}/archive": post(told=409),
    f"{VERSION}/withdraw": post(told=409),
    f"{VERSION}/quarantine": post(),
    f"{VERSION}/restore": post(told=409),
    f"{VERSION}/merge": post(),
    f"{VERSION}/merged": {**GET, "delete": Ask(told=409)},
    f"{VERSION}/merged.zip": {"get": Ask(told=409)},
    f"{VERSION}/merged/{{file}}": {"get": Ask(told=409)},
    f"{ADAPTER}/aliases": GET,
    ALIAS: {**GET, "put": Ask({"version": 1}), "delete": Ask(told=409)},
    f"{ALIAS}/history": GET,
    f"{ALIAS}/protection": {"put": Ask({"approvals_required": 1})},
    f"{ALIAS}/approvals": {"get": Ask(bare=True), **post({"version": 2}, told=409, person=True)},
    f"{ALIAS}/approvals/{{id}}": {"delete": Ask(person=True)},
    f"{ADAPTER}/promotions/{{id}}": GET,
    f"{ADAPTER}/promotions/{{id}}/cancel": post(),
    f"{ADAPTER}/clients": GET,
    "/hf/api/models/{team}/{name}": GET,
    "/hf/api/models/{team}/{name}/revision/{revision}": GET,
    "/hf/api/models/{team}/{name}/tree/{revision}": GET,
    "/hf/{team}/{name}/resolve/{revision}/{file}": {"get": Ask(bare=True), "head": Ask()},
}  # fmt: skip

WORK: dict[str, Asks] = {
    f"{V1}/jobs": get(OF_TEAM, {"adapter": THEIRS}, {"kind": "train"}),
    f"{V1}/jobs/{{id}}": GET,
    f"{V1}/training-jobs": {
        **get(OF_TEAM, {"adapter": THEIRS}),
        **post(
            TRAINING,
            {**TRAINING, "adapter": MINE},
            {**TRAINING, "dataset": f"{MINE}@1"},
            {**TRAINING, "adapter": MINE, "dataset": f"{MINE}@1", "evaluation_dataset": f"{THEIRS}@1"},
            {**TRAINING, "adapter": MINE, "dataset": f"{MINE}@1", "recipe": {"warm_start": f"{THEIRS}@1"}},
            {**TRAINING, "recipe": {"rank": 0}},
        ),
    },
    f"{V1}/training-jobs/{{id}}": GET,
    f"{V1}/training-jobs/{{id}}/cancel": post(),
    f"{V1}/training-jobs/{{id}}/retry": post(told=409),
    f"{V1}/training-jobs/{{id}}/clone": post(),
    f"{V1}/training-jobs/{{id}}/events": {"get": Ask(), "get as a stream": Ask(headers=SSE, inside=False)},
    f"{V1}/training-jobs/{{id}}/metrics": GET,
    f"{V1}/training-jobs/{{id}}/logs": GET,
    f"{V1}/evaluations": {
        **get({"job": "{their.ids[jobs]}"}),
        **post(
            {"subjects": [f"{THEIRS}@1"], "datasets": [f"{THEIRS}@1"]},
            {"subjects": [f"{MINE}@1"], "datasets": [f"{THEIRS}@1"]},
            {"subjects": [f"{THEIRS}@1"], "datasets": [f"{MINE}@1"]},
            {"subjects": ["llama@1"], "datasets": [f"{THEIRS}@1"]},
        ),
    },
    f"{V1}/evaluations/{{id}}": GET,
    f"{V1}/campaigns": {
        **get(OF_TEAM), **post({"adapters": [THEIRS]}, {"adapters": [MINE, THEIRS]}, {"base_model": "llama"}),
    },
    f"{V1}/campaigns/{{id}}": GET,
    f"{V1}/campaigns/{{id}}/preview": post(),
    f"{V1}/campaigns/{{id}}/start": post(),
    f"{V1}/campaigns/{{id}}/pause": post(told=409),
    f"{V1}/campaigns/{{id}}/cancel": post(),
    f"{V1}/campaigns/{{id}}/promote": post({"items": [THEIRS]}, {"items": [THEIRS]}, told=409),
    f"{V1}/campaigns/{{id}}/rollback": post(told=409),
}  # fmt: skip

CLIENTS: dict[str, Asks] = {
    f"{V1}/clients": {
        **get(OF_TEAM, WORDS, {"label": "tier:{their.word}"}, {"builtin": "true"}),
        **post({**OF_TEAM, "name": "c"}),
    },
    CLIENT: {**GET, "patch": Ask({"description": "d"})},
    f"{CLIENT}/keys": {**GET, **post({"name": "k"})},
    f"{CLIENT}/keys/{{id}}": {"delete": Ask()},
    f"{CLIENT}/assignments": GET,
    SLOT: {
        **GET,
        "put": Ask({"adapter": THEIRS}, own=({"adapter": THEIRS}, {"adapter": THEIRS, "version": 1})),
        "delete": Ask(),
    },
    f"{SLOT}/rollback": post(),
    f"{CLIENT}/moves/{{id}}": GET,
    f"{CLIENT}/timeline": get(*TABLES),
    f"{V1}/resolve": get(client=THEIRS),
    f"{V1}/assignments/bulk": {
        **get(OF_TEAM),
        **post(
            {**OF_TEAM, "target": {"adapter": THEIRS, "version": 1}},
            {"team": "{my.team.slug}", "target": {"adapter": THEIRS, "version": 1}},
            {"team": "{my.team.slug}", "target": {"adapter": MINE}, "filter": {"adapter": THEIRS}},
            {"team": "{my.team.slug}", "target": {"adapter": MINE}, "filter": {"clients": [THEIRS]}},
            {**OF_TEAM, "target": {"adapter": MINE}},
        ),
    },
    f"{V1}/assignments/bulk/{{id}}": GET,
    f"{V1}/assignments/bulk/{{id}}/undo": post(),
    f"{V1}/assignments/restore": post(
        {**OF_TEAM, "at": "{their.moment}"},
        {"team": "{my.team.slug}", "at": "{their.moment}", "clients": [THEIRS]},
        {"team": "{my.team.slug}", "at": "{their.moment}", "adapter": THEIRS},
        told=409,
    ),
    f"{V1}/freezes": {**get(OF_TEAM), **post({**OF_TEAM, "reason": "r", "until": UNTIL})},
    f"{V1}/freezes/{{id}}/lift": post(told=409),
    f"{V1}/staleness": get(OF_TEAM),
    f"{V1}/staleness/waive": post(WAIVER),
    f"{V1}/staleness/waivers/{{id}}/end": post(),
    f"{V1}/lineage": get(
        {"node": f"adapter:{THEIRS}@1"}, {"node": f"dataset:{THEIRS}@1"}, {"node": f"client:{THEIRS}"},
        {"node": "job:{their.ids[jobs]}"}, {"node": "base:llama@1", "depth": "6"},
    ),
    f"{V1}/receipts": get(*TABLES, {"client": THEIRS}, {"adapter": THEIRS}, {"adapter": f"{THEIRS}@1"}),
    f"{V1}/usage": get(
        *TABLES, {"client": THEIRS}, {"adapter": THEIRS}, {"group_by": "client,adapter,version"},
        {"group_by": "client", "format": "csv"},
    ),
}  # fmt: skip

API = {**INSTALLATION, **ACCESS, **DATA, **ADAPTERS, **WORK, **CLIENTS}
