"""The routes of the dashboard and of allauth's pages, each with what is asked there."""

from __future__ import annotations

from tests.isolation.asks import GET, Ask, Asks, Sent, get, post
from tests.make import adapter_files

ADAPTER = "/adapters/{team}/{name}"
CLIENT = "/clients/{team}/{name}"
TEAM, MINE, THEIRS = "{their.team.slug}", "{my.address}", "{their.address}"
LATER = "2999-01-01 00:00"
BULK = {"clients": [THEIRS], "adapter": THEIRS, "alias": "guarded", "reason": "r"}
NAMED = ({**BULK, "adapter": MINE}, {**BULK, "clients": [MINE]}, {**BULK, "clients": [MINE, THEIRS]})
RESTORED = {"team": TEAM, "at": "{their.minute}"}
ASSIGNED = {"adapter": "{their.name}", "slot": "other", "reason": "r"}
CHOSEN = {"adapters": [THEIRS], "reason": "r"}
SOUGHT = {"matching": "1", "query": "q={their.name}", "reason": "r"}
VIEW = {"listing": "jobs", "name": "v", "query": "kind=train", "team": TEAM}
EMAIL, VIEWER = "{their.people[owner].email}", "{their.people[viewer].email}"
DELIVERY = {"delivery": "{their.ids[deliveries]}"}
TRUSTED = {"issuer": "https://ci.example.org", "audience": "a", "subject": "s", "scopes": ["read"], "minutes": "9"}

ASKED = {"version": f"{THEIRS}@1", "prompt": "hello", "max_tokens": "4", "temperature": "0"}

ROWS = {"file": Sent(b'{"text": "a"}\n', "rows.jsonl")}
FOLDER = [Sent(content, name) for name, content in adapter_files(seed=1).items()]
IMPORTED = {"base_version": "llama@1", "files": FOLDER}
NEW = {"name": "newcomer", "vertical": "legal", "team": TEAM}
SHOWN = {"query": {"version": "1"}}

TRAINED = {"adapter": THEIRS, "dataset": f"{THEIRS}@1", "rank": "2", "steps": "3"}
OWN = {"adapter": MINE, "dataset": f"{MINE}@1"}
TRAINS = (
    {**OWN, "adapter": THEIRS}, {**OWN, "dataset": f"{THEIRS}@1"}, {**OWN, "adapter": "{their.team.slug}/new"},
    {**OWN, "warm_start": f"{THEIRS}@1"}, {**OWN, "evaluation_dataset": f"{THEIRS}@1"},
)  # fmt: skip

PAGES: dict[str, Asks] = {
    "/": GET,
    "/overview/figures": GET,
    "/adapters": get({"team": TEAM}, {"q": "{their.name}"}, {"vertical": "{their.word}"}, {"stale": "1"}),
    ADAPTER: GET,
    f"{ADAPTER}/compare": get({"left": f"{THEIRS}@1", "right": "1"}, left="1", right="2", all="1"),
    "/adapters/import": {**GET, **post({**NEW, **IMPORTED}, {**NEW, **IMPORTED})},
    f"{ADAPTER}/import": {**GET, **post(IMPORTED)},
    f"{ADAPTER}/promote": post({"version": "2", "alias": "newest", "reason": "r"}),
    f"{ADAPTER}/{{number}}": GET,
    f"{ADAPTER}/{{number}}/clients": get({"from": "{their.minute}"}),
    f"{ADAPTER}/{{number}}/merge": post(),
    f"{ADAPTER}/{{number}}/merged/drop": post(told=409),
    f"{ADAPTER}/labels": post({"labels": "kind:k"}),
    f"{ADAPTER}/{{number}}/labels": post({"labels": "kind:k"}),
    f"{ADAPTER}/{{number}}/retrain": post(told=409),
    f"{ADAPTER}/{{number}}/waive": post({"reason": "r", "until": LATER}),
    f"{ADAPTER}/{{number}}/waivers/{{pk}}/end": post({"reason": "r"}, told=404),
    f"{ADAPTER}/{{number}}/archive": post({"reason": "r"}, told=409),
    f"{ADAPTER}/{{number}}/quarantine": post({"reason": "r"}),
    f"{ADAPTER}/{{number}}/restore": post({"reason": "r"}, told=409),
    f"{ADAPTER}/{{number}}/withdraw": post({"reason": "r", "address": f"{THEIRS}@1"}, told=409),
    f"{ADAPTER}/{{number}}/assign": post({"client": "{their.name}", "slot": "other", "reason": "r"}),
    f"{ADAPTER}/aliases/{{alias}}/rollback": post({"seen": "1", "reason": "r"}, told=409),
    f"{ADAPTER}/aliases/{{alias}}/protect": post({"approvals_required": "1", "gate": "loss <= production"}),
    f"{ADAPTER}/aliases/{{alias}}/approve": post({"version": "2", "reason": "r"}, told=409),
    f"{ADAPTER}/aliases/{{alias}}/approvals/{{pk}}/withdraw": post(),
    "/bulk/adapters/retrain": post(CHOSEN, CHOSEN, {**CHOSEN, "adapters": [MINE, THEIRS]}, SOUGHT),
    "/bulk/adapters/preview": post(CHOSEN, CHOSEN, {**CHOSEN, "adapters": [MINE, THEIRS]}, SOUGHT),
    "/bulk/adapters/archive": post(CHOSEN, CHOSEN, {**CHOSEN, "adapters": [MINE, THEIRS]}, SOUGHT),
    "/versions": get({"team": TEAM}, {"q": "{their.name}"}, {"label": "tier:{their.word}"}),
    "/views/save": post(VIEW, VIEW),
    "/views/{pk}/default": post({"default": "1"}),
    "/views/{pk}/delete": post(),
    "/jobs": get({"kind": "train"}, {"team": TEAM}, {"adapter": THEIRS}),
    "/jobs/new": {**get(*TRAINS, {"from": "{their.ids[jobs]}"}), **post(TRAINED, *TRAINS)},
    "/jobs/new/estimate": post(TRAINED, *TRAINS),
    "/jobs/{pk}": GET,
    "/jobs/{pk}/card": GET,
    "/jobs/{pk}/live": GET,
    "/jobs/{pk}/cancel": post(),
    "/jobs/{pk}/retry": post(told=409),
    "/lineage": get(
        {"node": f"adapter:{THEIRS}@1"}, {"node": f"dataset:{THEIRS}@1"}, {"node": f"client:{THEIRS}"},
        {"node": "job:{their.ids[jobs]}"}, {"only_stale": "1"}, {"node": "base:llama@1", "depth": "6"},
    ),
    "/clients": get({"q": "{their.name}"}, {"label": "tier:{their.word}"}),
    CLIENT: get({"at": "{their.minute}"}),
    f"{CLIENT}/keys": post({"name": "k"}),
    f"{CLIENT}/keys/{{key}}/revoke": post(),
    f"{CLIENT}/describe": post({"description": "d", "contacts": "", "labels": ""}),
    f"{CLIENT}/assign": post(ASSIGNED, ASSIGNED, {**ASSIGNED, "adapter": THEIRS}),
    f"{CLIENT}/rollback": post({"slot": "default", "reason": "r"}),
    "/bulk-moves": GET,
    "/bulk-moves/preview": post(BULK, *NAMED, RESTORED),
    "/bulk-moves/make": post(BULK, *NAMED, RESTORED),
    "/bulk-moves/{pk}": GET,
    "/bulk-moves/{pk}/undo": post(),
    "/freezes": GET,
    "/freezes/begin": post({"team": TEAM, "until": LATER, "reason": "r"}),
    "/freezes/{pk}/lift": post(told=409),
    "/holds": GET,
    "/holds/place": post({"team": TEAM, "reason": "r"}, told=403),
    "/holds/{pk}/lift": post({"reason": "r"}, told=403),
    "/base-models": GET,
    "/base-models/_new": {"get": Ask(told=403), **post({"name": "b"}, told=403)},
    "/base-models/{name}": GET,
    "/base-models/{name}/versions": post({"source": "s3://bucket/prefix"}, told=403),
    "/base-models/{name}/state": post({"version": "1", "act": "deprecate", "reason": "r"}, told=403),
    "/base-models/{name}/{number}/clients": GET,
    "/base-models/{name}/{number}/activate": post(told=403),
    "/datasets": get({"q": "{their.name}"}),
    "/datasets/new": {**GET, **post(NEW, NEW)},
    "/clients/new": {**GET, **post(NEW, NEW)},
    "/datasets/{team}/{name}/versions": post(ROWS),
    "/datasets/{team}/{name}/archive": post({"reason": "r"}, **SHOWN),
    "/datasets/{team}/{name}/withdraw": post({"reason": "r", "confirm": "{their.name}"}, **SHOWN),
    "/datasets/{team}/{name}": get({"version": "2", "against": "1"}),
    "/datasets/{team}/{name}/{number}/clients": GET,
    "/campaigns": GET,
    "/campaigns/new": post({"base_model": "llama"}),
    "/campaigns/{pk}": GET,
    "/campaigns/{pk}/act": post({"act": "start"}),
    "/playground": get({"version": f"{THEIRS}@1"}, {"version": f"{MINE}@1", "base": "llama@1"}),
    "/playground/answers": post(ASKED, {**ASKED, "version": [f"{MINE}@1", f"{THEIRS}@1"]}),
    "/serving": GET,
    "/undo": post({"event": "{their.ids[events]}"}, {"event": "{their.ids[events]}"}),
    "/account": GET,
    "/account/sign-out": post(inside=False),
    "/audit": get({"who": THEIRS}, {"client": THEIRS}, {"actor": EMAIL}, {"object": f"adapter:{THEIRS}"}),
    "/audit/verify": post(),
    f"{ADAPTER}/activity": GET,
    f"{ADAPTER}/{{number}}/activity": GET,
    f"{CLIENT}/activity": GET,
    "/datasets/{team}/{name}/activity": GET,
    "/base-models/{name}/activity": GET,
    "/jobs/{pk}/activity": GET,
    "/campaigns/{pk}/activity": GET,
    "/search": get(
        {"q": "{their.name}"}, {"q": THEIRS}, {"q": f"{THEIRS}@1"}, {"q": "{their.name}@"}, {"q": "{their.word}"},
        {"q": "job {their.ids[jobs]}"},
    ),
}  # fmt: skip

SETTINGS: dict[str, Asks] = {
    "/settings": GET,
    "/settings/{team}": GET,
    "/settings/{team}/health": GET,
    "/settings/{team}/members": post({"user": VIEWER, "role": "editor"}),
    "/settings/{team}/members/remove": post({"user": VIEWER}, {"user": VIEWER}),
    "/settings/{team}/tokens": GET,
    "/settings/{team}/tokens/mint": post({"name": "t", "scopes": ["read"]}),
    "/settings/{team}/tokens/{pk}/revoke": post(),
    "/settings/{team}/tokens/{pk}/rotate": post(),
    "/settings/{team}/issuers": GET,
    "/settings/{team}/issuers/trust": post(TRUSTED),
    "/settings/{team}/issuers/{pk}/distrust": post(),
    "/settings/{team}/webhooks": GET,
    "/settings/{team}/webhooks/create": post({"url": "https://a.example.org", "events": ["alias.moved"]}),
    "/settings/{team}/webhooks/{pk}": GET,
    "/settings/{team}/webhooks/{pk}/switch": post({"enabled": "1"}),
    "/settings/{team}/webhooks/{pk}/delete": post(),
    "/settings/{team}/webhooks/{pk}/rotate": post(),
    "/settings/{team}/webhooks/{pk}/replay": post(DELIVERY),
}
PAGES |= SETTINGS | {
    "/storage": {"get": Ask(told=403)},
    "/storage/sweep": post(told=403),
    "/storage/scrub": post(told=403),
    "/users": {"get": Ask(told=403)},
    "/users/create": post({"user": "new@example.org"}, told=403),
    "/users/switch": post({"user": VIEWER, "active": "1"}, told=403),
    "/users/sign-out": post({"user": VIEWER}, told=403),
}

# A person's own: nobody's things are named but by the e-mail of a form, which must tell nothing of who is known.
PERSONAL: dict[str, Asks] = {
    "/accounts/login/": {**GET, **post({"login": EMAIL, "password": "wrong"})},
    "/accounts/signup/": {**GET, **post({"email": EMAIL, "password1": "correct-horse-battery"})},
    "/accounts/password/reset/": {**GET, **post({"email": EMAIL})},
    "/accounts/password/reset/key/{uidb36}-{key}/": GET,
    "/accounts/confirm-email/{key}/": GET,
    "/accounts/oidc/{provider_id}/login/": GET,
    "/accounts/oidc/{provider_id}/login/callback/": GET,
} | {
    f"/accounts/{path}/": {**GET, **post()}
    for path in (
        "logout", "inactive", "reauthenticate", "email", "confirm-email", "password/change", "password/set",
        "password/reset/key/done", "password/reset/done", "login/code/confirm", "2fa", "2fa/authenticate",
        "2fa/reauthenticate", "2fa/totp/activate", "2fa/totp/deactivate", "2fa/recovery-codes",
        "2fa/recovery-codes/generate", "2fa/recovery-codes/download", "3rdparty/login/cancelled",
        "3rdparty/login/error", "3rdparty/signup", "3rdparty", "social/login/cancelled", "social/login/error",
        "social/signup", "social/connections", "sessions",
    )
}  # fmt: skip
