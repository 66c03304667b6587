"""No secret in any log, error, record or repr: everything is driven at DEBUG, and everything said is searched."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets as secrets_module
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connection, connections
from django.db.utils import ConnectionHandler
from django.test import Client, RequestFactory
from django.views.debug import ExceptionReporter
from rest_framework.test import APIClient

from client.config import Config
from config.asgi import application
from config.stack import Redis, StackAddresses
from config.supervisor import Service
from registry import credentials
from registry.dashboard import relays
from registry.models import Artifact
from registry.storage import s3
from registry.storage.store import StoreError
from serving import upstream
from serving.gateway import Gateway
from tests import totp
from tests.make import make_engine, make_version
from tests.world import World

PASSWORD, WRONG = "correct-horse-battery", "wrong-donkey-acid"
JWT = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2NpLmV4YW1wbGUub3JnIn0.c2lnbmF0dXJl"
LOUD = ("", "django", "django.request", "django.security", "django.template", "registry", "serving", "allauth")


class Heard(logging.Handler):
    """Every record as the log writes it, with its traceback and what was put into its message."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{self.format(record)}\n{record.args!r}")


class Secrets:
    """Each value that nobody may be told again, by its name; and all that was said."""

    def __init__(self, heard: Heard) -> None:
        self.values: dict[str, str] = {}
        self.heard = heard
        self.answers: list[str] = []

    def note(self, **values: str) -> None:
        self.values.update(values)

    def refused(self, answer: Any) -> Any:
        """An answer that shows no secret, whatever it was sent."""
        assert answer.status_code >= 400, answer.content
        self.answers.append(f"{answer.content.decode()}\n{dict(answer.items())}")
        return answer

    def check(self, *texts: str) -> None:
        said = "\n".join((*self.heard.said, *self.answers, *texts))
        assert said
        assert all(len(value) >= 6 for value in self.values.values()), self.values
        assert [name for name, value in self.values.items() if value in said] == []


@pytest.fixture
def secrets(settings: Any) -> Iterator[Secrets]:
    heard, loggers = Heard(), [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(heard)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    made = Secrets(heard)
    made.note(
        secret_key=django_settings.SECRET_KEY,
        audit_key=django_settings.AUDIT_KEYS[0][1].hex(),
        password=PASSWORD,
        wrong=WRONG,
    )
    yield made
    logging.getLogger().removeHandler(heard)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def crash(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("somewhere inside")


@pytest.fixture
def person(world: World, secrets: Secrets) -> Client:
    """Alice, signed in by password, with a second factor."""
    world.alice.set_password(PASSWORD)
    world.alice.save()
    client = Client(raise_request_exception=False)
    for password in (WRONG, PASSWORD):
        client.post("/accounts/login/", {"login": "alice@example.org", "password": password})
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    seed = re.search(r'id="totp-secret">([A-Z2-7]+)<', page)
    assert seed is not None
    client.post("/accounts/2fa/totp/activate/", {"code": totp.code(seed[1])})
    codes = re.findall(r"\b\d{8}\b", client.get("/accounts/2fa/recovery-codes/").content.decode())
    assert codes
    secrets.note(
        totp=seed[1], code=totp.code(seed[1]), recovery=codes[0], session=client.cookies["sessionid"].value
    )
    return client


def test_signing_in_says_nothing(person: Client, secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Client(raise_request_exception=False)
    other.post("/accounts/login/", {"login": "alice@example.org", "password": PASSWORD})
    for code in (secrets.values["code"], secrets.values["recovery"]):
        with monkeypatch.context() as patch:
            patch.setattr("allauth.mfa.base.forms.check_rate_limit", crash)
            secrets.refused(other.post("/accounts/2fa/authenticate/", {"code": code}))
    with monkeypatch.context() as patch:
        patch.setattr("django.contrib.auth.hashers.check_password", crash)
        patch.setattr("registry.models.User.check_password", crash)
        secrets.refused(Client(raise_request_exception=False).post(
            "/accounts/login/", {"login": "alice@example.org", "password": PASSWORD}))  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr("registry.selectors.jobs.listing", crash)
        secrets.refused(person.get("/jobs"))
    for _ in range(6):
        answer = Client().post("/accounts/login/", {"login": "alice@example.org", "password": WRONG})
    secrets.refused(answer)
    secrets.check()


CALLS = [
    ("registry.services.tokens.mint", "/api/v1/tokens", {"team": "health", "name": "t", "scopes": ["read"]}),
    ("registry.services.clients.mint_key", "/api/v1/clients/health/st-olaf/keys", {"name": "k"}),
    ("registry.services.webhooks.create", "/api/v1/webhooks",
     {"team": "health", "url": "https://hooks.example.org/a", "events": ["*"]}),
]  # fmt: skip


def test_what_the_api_shows_once_it_says_never_again(
    world: World, store: Path, api: Any, secrets: Secrets, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = api("alice")
    alice.raise_request_exception = False
    alice.post("/api/v1/clients", {"team": "health", "name": "st-olaf", "vertical": "v"}, format="json")
    for path, body in [(path, body) for _, path, body in CALLS]:
        made = alice.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY=f"once-{path}").json()
        secrets.note(**{f"{path} {name}": made[name] for name in ("token", "key", "secret") if name in made})
        again = alice.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY=f"once-{path}")
        secrets.answers += [again.content.decode(), alice.get(path.removesuffix("/keys")).content.decode()]
    assert len(secrets.values) == 4 + len(CALLS)
    secrets.note(alice=world.tokens["alice"], admin=world.tokens["admin"], jwt=JWT)
    for target, path, body in CALLS:
        with monkeypatch.context() as patch:
            patch.setattr(target, crash)
            secrets.refused(alice.post(path, body, format="json"))
    secrets.refused(APIClient().post("/api/v1/token-exchange", {"team": "health", "token": JWT}, format="json"))
    for wrong in (f"{world.tokens['alice'][:-1]}!", f"plt_abcdefgh_{'x' * 40}"):
        secrets.note(**{wrong[:12]: wrong})
        secrets.refused(APIClient().get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {wrong}"))
        secrets.refused(APIClient().get("/hf/api/models/health/triage", HTTP_AUTHORIZATION=f"Bearer {wrong}"))
    secrets.check(_whole_database())


def test_addresses_that_are_keys_stay_out_of_the_log(
    world: World, store: Path, api: Any, secrets: Secrets
) -> None:
    """A part's address lets whoever has it write."""
    body = {"team": "health", "files": [{"path": "p", "size": 4, "sha256": "a" * 64}]}
    made = api("alice").post("/api/v1/uploads", body, format="json").json()
    url = made["files"][0]["parts"][0]["url"]
    signature = url.rpartition("=")[2]
    secrets.note(signature=signature)
    path = url[url.index("/api/") :]
    for wrong in (path, path.replace("parts/1", "parts/2"), f"{path}x"):
        secrets.refused(APIClient().put(wrong, b"too long", content_type="application/octet-stream"))
    secrets.check()


def _whole_database() -> str:
    with connection.cursor() as cursor:
        return "\n".join(
            str(cursor.execute(f'SELECT * FROM "{table}"').fetchall())
            for table in connection.introspection.table_names(cursor)
        )


@pytest.fixture(autouse=True)
def _inline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway asks the database in the test's own thread, which alone sees the test's rows."""

    async def read(self: Gateway, ask: Any, *arguments: Any) -> Any:
        return ask(*arguments)

    monkeypatch.setattr(Gateway, "read", read)
    monkeypatch.setattr(upstream, "HOLD_SECONDS", 0.05)


def asked(path: Path, *keys: str) -> list[httpx.Response]:
    """In a thread of its own: the browser's driver leaves an event loop running in the main one."""
    shared = connections["default"]
    shared.inc_thread_sharing()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _asked(path, keys, shared)).result()


async def _asked(path: Path, keys: tuple[str, ...], shared: Any) -> list[httpx.Response]:
    connections["default"] = shared  # an event loop would have one of its own
    app: Any = application()
    app.app.state.gateway = Gateway(path)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    body = {"model": "health/triage", "messages": [{"role": "user", "content": "my-private-question"}]}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
        return [
            await http.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"})
            for key in keys
        ]


def test_the_gateway_says_neither_keys_nor_questions(
    world: World, api: Any, secrets: Secrets, store: Path, monkeypatch: Any
) -> None:
    make_version(world.health)
    api("alice").post("/api/v1/clients", {"team": "health", "name": "st-olaf", "vertical": "v"}, format="json")
    key = api("alice").post("/api/v1/clients/health/st-olaf/keys", {"name": "k"}, format="json").json()["key"]
    keys = [key, f"plc_abcdefgh_{'y' * 40}", world.tokens["alice"], f"plt_abcdefgh_{'z' * 40}"]
    secrets.note(question="my-private-question", **{f"key {number}": text for number, text in enumerate(keys)})
    answers = asked(store / "spool", *keys)
    assert [answer.status_code for answer in answers] == [404, 401, 503, 401]
    monkeypatch.setattr("serving.routing.admit", crash)
    answers += asked(store / "spool", key)
    assert answers[-1].status_code == 500
    secrets.check(*[f"{answer.text}{answer.headers}" for answer in answers])


def test_the_playground_says_neither_tickets_nor_questions(
    world: World, secrets: Secrets, store: Path, settings: Any, monkeypatch: Any
) -> None:
    settings.GATEWAY_URL = "http://127.0.0.1:9"
    make_engine(make_version(world.health))
    secrets.note(question="my-private-question", system="my-private-system")
    tickets: list[str] = []
    made = credentials.ticket
    monkeypatch.setattr(credentials, "ticket", lambda says: tickets.append(made(says)) or tickets[-1])
    client = Client(raise_request_exception=False)
    client.force_login(world.alice, backend="django.contrib.auth.backends.ModelBackend")
    body = {"version": "health/triage@1", "prompt": "my-private-question", "system": "my-private-system"}
    told = []
    for reader in (relays._read, crash):  # nobody is there; it breaks inside
        monkeypatch.setattr(relays, "_read", reader)
        answer: Any = client.post("/playground/answers", {**body, "max_tokens": 4, "temperature": 0})
        told.append(b"".join(answer.streaming_content).decode())
    secrets.refused(client.post("/playground/answers", {**body, "max_tokens": 0, "temperature": 0}))
    secrets.note(**{f"ticket {number}": text for number, text in enumerate(tickets)})
    assert len(tickets) == 2
    assert all("error" in text for text in told)
    secrets.check(*told, _whole_database())


def test_servers_that_refuse_us_are_told_of_without_our_passwords(secrets: Secrets, monkeypatch: Any) -> None:
    secrets.note(database="s3cret-of-postgres", broker="s3cret-of-redis", bucket="s3cret-of-the-bucket")
    closed = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": "1", "NAME": "plethora"}
    away = ConnectionHandler({"default": {**closed, "USER": "plethora", "PASSWORD": "s3cret-of-postgres"}})[
        "default"
    ]
    log = logging.getLogger("registry.test")
    try:
        away.ensure_connection()
    except Exception:
        log.exception("the database")
    try:
        broker = Celery(broker="redis://:s3cret-of-redis@127.0.0.1:1/0")
        broker.connection_for_write().ensure_connection(max_retries=1, timeout=1)
    except Exception:
        log.exception("the broker")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret-of-the-bucket")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    bucket = s3.S3Store("adapters", "store", "http://127.0.0.1:1")
    signed = str(bucket.presign("artifacts/a", filename="a", seconds=60))
    secrets.note(presigned=signed.partition("X-Amz-Signature=")[2])
    try:
        bucket.delete("artifacts/a")
    except StoreError:
        log.exception("the store")
    assert len([said for said in secrets.heard.said if said.startswith("registry.test")]) == 3
    secrets.check(repr(bucket), repr(away))


def test_no_repr_shows_one(world: World, secrets: Secrets) -> None:
    made = credentials.make("plt")
    secrets.note(text=made.text, alice=world.tokens["alice"], other="hunter2-hunter2")
    rows = [row for model in apps.get_models() for row in model._default_manager.all()]
    assert len(rows) > 10
    shown = [
        made,
        Redis(1, "hunter2-hunter2"),
        StackAddresses("hunter2-hunter2", "hunter2-hunter2", "s3://a", {"A": "hunter2-hunter2"}),
        Config("http://x", "hunter2-hunter2"),
        Service("web", ["web"], env={"A": "hunter2-hunter2"}),
        django_settings, world.by("alice"), Artifact(sha256="a" * 64), *rows,
    ]  # fmt: skip
    secrets.check(*[f"{thing!r} {thing!s}" for thing in shown])


@pytest.mark.parametrize("kind", ["text", "html"])
def test_a_debug_page_shows_none(secrets: Secrets, settings: Any, kind: str) -> None:
    """It is for development, and is forgotten there sometimes."""
    names = ("broker", "database", "cookie", "bearer", "local")
    kept = {name: secrets_module.token_hex(16) for name in names}  # the page shows lines of this file too
    secrets.note(**kept)
    settings.CELERY_BROKER_URL = f"redis://:{kept['broker']}@redis/0"
    settings.DATABASES["default"]["PASSWORD"] = kept["database"]
    request = RequestFactory().post("/accounts/login/", {"login": "alice@example.org", "password": kept["local"]})
    request.META["HTTP_AUTHORIZATION"] = f"Bearer {kept['bearer']}"
    request.COOKIES["sessionid"] = kept["cookie"]
    try:
        crash(kept["local"])
    except ZeroDivisionError as error:
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
        report = reporter.get_traceback_html() if kind == "html" else reporter.get_traceback_text()
    assert "ZeroDivisionError" in report
    secrets.check(report)


def test_a_line_of_the_log_would_be_found(secrets: Secrets) -> None:
    """What makes all the tests above more than a search of nothing."""
    logging.getLogger("anything").debug("%s", json.dumps({"password": PASSWORD}))
    with pytest.raises(AssertionError):
        secrets.check()


@pytest.mark.parametrize(
    "name", ["httpcore.connection", "botocore.auth", "urllib3.connectionpool", "httpx", "boto3"]
)
def test_what_logs_signed_addresses_is_quiet(secrets: Secrets, name: str) -> None:
    logging.getLogger(name).debug("GET /a?X-Amz-Signature=abc")
    assert secrets.heard.said == []
