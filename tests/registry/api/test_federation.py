"""CI without stored secrets, against an issuer of our own on this machine."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from registry.models import ApiToken, AuditEvent, TokenExchange
from registry.selectors import issuers

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SUBJECT = "repo:acme/app:ref:refs/heads/main"


def jwk(key, kind, key_id):
    algorithm = jwt.get_algorithm_by_name(kind)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", "alg": kind}


class Issuer(BaseHTTPRequestHandler):
    def do_GET(self):
        here = f"http://127.0.0.1:{self.server.server_port}"
        body = {
            "/.well-known/openid-configuration": {"issuer": here, "jwks_uri": f"{here}/keys"},
            "/keys": {"keys": [jwk(RSA, "RS256", "rsa"), jwk(EC, "ES256", "ec")]},
        }[self.path]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


@pytest.fixture
def body(server, settings):
    settings.OUTBOUND_ALLOWED = [server.removeprefix("http://")]
    issuers.forget()
    return {
        "team": "health", "issuer": server, "audience": "plethora", "subject": "repo:acme/app:*",
        "scopes": ["read", "train"], "lifetime_seconds": 600,
    }  # fmt: skip


@pytest.fixture
def trusted(api, body):
    return api("alice").post("/api/v1/federation", body, format="json").json()


def signed(issuer, *, key=RSA, algorithm="RS256", key_id="rsa", **changed):
    now = int(time.time())
    said = {"iss": issuer, "aud": "plethora", "sub": SUBJECT, "iat": now, "exp": now + 300, **changed}
    kept = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": key_id})


def exchange(api, text, team="health"):
    return api(None).post("/api/v1/token-exchange", {"token": text, "team": team}, format="json")


@pytest.mark.parametrize("kind", [(RSA, "RS256", "rsa"), (EC, "ES256", "ec")], ids=["rsa", "ec"])
def test_it_gives_a_token_for_what_ci_signed(api, server, trusted, kind):
    key, algorithm, key_id = kind
    made = exchange(api, signed(server, key=key, algorithm=algorithm, key_id=key_id))
    assert (made.status_code, made.json()["name"], made.json()["scopes"]) == (201, SUBJECT, ["read", "train"])
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {made.json()['token']}"}
    assert api(None).get("/api/v1/me", **bearer).json()["team"] == "health"


def test_it_lives_for_as_long_as_was_said(api, server, trusted):
    exchange(api, signed(server))
    token = ApiToken.objects.get(exchange__isnull=False)
    assert 590 < (token.expires_at - token.created_at).total_seconds() <= 601


def test_it_records_whom_the_issuer_vouched_for(api, server, trusted):
    made = exchange(api, signed(server)).json()
    event = AuditEvent.objects.get(action="token.create", object=f"token:{made['prefix']}")
    assert (event.actor, event.on_behalf_of, event.after["name"]) == ("system", SUBJECT, SUBJECT)
    assert AuditEvent.objects.get(action="federation.trust").after["subject"] == "repo:acme/app:*"


def test_it_refuses_what_was_exchanged_before(api, server, trusted):
    text = signed(server)
    assert [exchange(api, text).status_code for _ in range(2)] == [201, 401]
    numbered = [exchange(api, signed(server, jti="7", iat=int(time.time()) - i)).status_code for i in range(2)]
    assert numbered == [201, 401]
    assert TokenExchange.objects.count() == 2


def confused(server):
    """The public key, which everybody has, as the secret of an HMAC."""
    pem = RSA.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, payload, _ = signed(server).split(".")
    head = jwt.utils.base64url_encode(json.dumps({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).encode()).decode()
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{payload}".encode(), pem)
    return f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}"


FALSE = {
    "expired": lambda s: signed(s, exp=int(time.time()) - 60),
    "not yet": lambda s: signed(s, nbf=int(time.time()) + 120),
    "for another": lambda s: signed(s, aud="else"),
    "another subject": lambda s: signed(s, sub="repo:acme/other:ref:refs/heads/main"),
    "a subject that begins likewise": lambda s: signed(s, sub="repo:acme/application:x"),
    "another issuer": lambda s: signed("https://token.example.org"),
    "a stranger's key": lambda s: signed(s, key=STRANGER),
    "an unknown key": lambda s: signed(s, key=STRANGER, key_id="new"),
    "the key of another algorithm": lambda s: signed(s, key=EC, algorithm="ES256", key_id="rsa"),
    "no algorithm": lambda s: signed(s, key=None, algorithm="none"),
    "hmac with the public key": confused,
    "no end": lambda s: signed(s, exp=None),
    "no subject": lambda s: signed(s, sub=None),
    "another payload": lambda s: ".".join(
        [signed(s).split(".")[0], signed(s, sub="repo:acme/app:b").split(".")[1], signed(s).split(".")[2]]
    ),
    "no jwt": lambda s: "plt_" + "a" * 50,
}


@pytest.mark.parametrize("what", FALSE)
def test_it_refuses_what_is_false_and_says_no_more(api, server, trusted, what):
    answer = exchange(api, FALSE[what](server))
    unknown = exchange(api, "x.y.z", team="no-such-team")
    assert (answer.status_code, answer.json()["code"]) == (401, "exchange_refused")
    assert answer.json()["detail"] == unknown.json()["detail"]
    assert not TokenExchange.objects.exists()


def test_it_gives_no_token_of_another_team(api, server, trusted):
    assert exchange(api, signed(server), team="finance").status_code == 401


def test_it_ends_what_came_of_an_issuer_that_is_trusted_no_more(api, server, trusted):
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {exchange(api, signed(server)).json()['token']}"}
    assert api("alice").delete(f"/api/v1/federation/{trusted['id']}").status_code == 204
    assert api(None).get("/api/v1/me", **bearer).status_code == 401
    assert exchange(api, signed(server, jti="2")).status_code == 401
    assert api("alice").get("/api/v1/federation").json()["results"] == []


def test_it_hides_what_another_team_trusts(api, body, trusted):
    path = f"/api/v1/federation/{trusted['id']}"
    assert api("charlie").delete(path).status_code == 404
    assert api("charlie").get("/api/v1/federation").json()["results"] == []
    assert api("charlie").post("/api/v1/federation", body, format="json").status_code == 404
    assert api("bob").delete(path).status_code == 403
    assert api("bob").get("/api/v1/federation").status_code == 403


WRONG = [
    ("subject", "*"), ("scopes", ["admin"]), ("lifetime_seconds", 3601), ("issuer", "http://ci.example.org"),
    ("issuer", "file:///etc/passwd"), ("issuer", "https://a:b@ci.example.org"),
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_it_refuses_to_trust_too_much(api, body, wrong):
    answer = api("alice").post("/api/v1/federation", {**body, wrong[0]: wrong[1]}, format="json")
    assert (answer.status_code, answer.json()["param"]) == (422, wrong[0])


def test_it_calls_no_issuer_that_lies_inside(api, server, trusted, settings):
    settings.OUTBOUND_ALLOWED = []
    assert exchange(api, signed(server)).status_code == 401


def test_it_is_not_renewed(api, server, trusted):
    made = exchange(api, signed(server)).json()
    answer = api("alice").post(f"/api/v1/tokens/{made['id']}/rotate", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "federated")
