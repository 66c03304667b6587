"""Asking as somebody, and what an answer says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import unified_diff
from typing import Any
from urllib.parse import unquote

from django.apps import apps
from django.contrib.messages import ERROR, get_messages
from django.db import connection
from django.test import Client

from registry.models import Artifact, Manifest, User, WebhookDelivery
from tests.isolation.asks import Ask, filled_in
from tests.registry.filled import Filled, undone

THEIRS, MISSING = "quokka", "wombat"  # in every text of the other team; the same where there is nothing
FIRST, LATER, APART = (
    7_000_000,
    9_000_000,
    1_000_000,
)  # ids of the other team, of what came after it, and of nothing
IDS = re.compile(r"(?<![0-9A-Za-z.])7[0-9]{6}(?![0-9A-Za-z])")
PASSING = (
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?[\d.]*(Z|\+00:00| UTC)?"), "NOW"),
    (
        re.compile(r'(csrfmiddlewaretoken" value="|X-CSRFTOKEN(&quot;|")(: |\] = )(&quot;|"))\w+', re.IGNORECASE),
        "CSRF",
    ),
    (re.compile(r'(totp-secret">|base64,)[\w+/=]+'), "TOTP"),
    (re.compile(r"(\d+|an?)\s(seconds?|minutes?) ago|\bnow\b"), "AGO"),
    (re.compile(r"signature=[\w:-]+"), "SIGNED"),
    (re.compile(r'name="once" value="\w+'), "ONCE"),
    (re.compile(r'"request_id": ?"[^"]*"'), "REQUEST"),
)
OWN_TO_EACH = ("X-Request-Id", "Set-Cookie", "Date", "Expires", "Last-Modified", "ETag", "Content-Length")


@dataclass
class Names:
    """What asks name: of a team that is there, or of one that isn't but is called alike."""

    filled: Filled
    word: str
    digest: str
    minute: str
    content: str
    missing: bool = False

    def __getattr__(self, name: str) -> Any:
        return self._other(getattr(self.filled, name))

    @property
    def moment(self) -> str:
        return f"{self.minute.replace(' ', 'T')}:00Z"

    def path(self, template: str) -> str:
        return str(self._other(self.filled.path(template)))

    def _other(self, value: Any) -> Any:
        if not self.missing:
            return value
        if isinstance(value, Mapping):
            return {key: self._other(one) for key, one in value.items()}
        if isinstance(value, int):
            return value + APART if value > FIRST else value
        if isinstance(value, str):
            return renamed(value)
        return _Renamed(value)


class _Renamed:
    """A row whose texts are the missing one's."""

    def __init__(self, row: Any) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._row, name)
        return renamed(value) if isinstance(value, str) else value


def renamed(text: str) -> str:
    """What is said of the other team's things, said of things that aren't there."""
    return IDS.sub(lambda found: str(int(found[0]) + APART), unquote(text).replace(THEIRS, MISSING))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str
    messages: tuple[str, ...] = ()
    failed: bool = False
    told: str = ""  # what the act had written for webhooks of others than the team that is hidden

    @property
    def whole(self) -> str:
        return "\n".join((*(f"{k}: {v}" for k, v in self.headers.items()), self.text, *self.messages))


@dataclass
class Asker:
    """Somebody at a keyboard (a session), or a program with a credential."""

    label: str
    user: User | None = None
    credential: str = ""
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def __post_init__(self) -> None:
        if self.user is not None:
            self.client.force_login(self.user, backend="django.contrib.auth.backends.ModelBackend")

    def ask(self, method: str, path: str, ask: Ask, body: Any, query: Any, **who: Names) -> Answer:
        """Everything that comes of it is undone."""
        method = method.split(maxsplit=1)[0]
        headers = dict(filled_in(ask.headers, **who))
        if self.credential:
            headers["HTTP_AUTHORIZATION"] = f"Bearer {self.credential}"
        sent = filled_in(body, **who)
        given = {"data": sent or {}}
        if ask.raw:
            given = {"data": filled_in(ask.raw, **who).encode(), "content_type": "application/octet-stream"}
        elif path.startswith("/api/") and method not in ("get", "head"):
            given = {"data": json.dumps(sent or {}), "content_type": "application/json"}
        if method in ("get", "head"):
            given = {}
        url = path + ("?" + "&".join(f"{k}={v}" for k, v in filled_in(query, **who).items()) if query else "")
        kept = dict(self.client.cookies)
        with undone():
            before = _last_told() if method not in ("get", "head") else None
            answer = getattr(self.client, method)(url, **given, **headers)
            read = _read(answer)
            if before is not None:
                read = replace(read, told=told_to_others(before))
        self.client.cookies.clear()
        self.client.cookies.update(kept)
        return read


def _last_told() -> int:
    return WebhookDelivery.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def told_to_others(after: int = 0) -> str:
    """The bodies of what goes to webhooks of all teams but the hidden one, from a delivery on."""
    rows = WebhookDelivery.objects.filter(pk__gt=after).exclude(endpoint__team__slug__startswith=THEIRS)
    return "\n".join(rows.order_by("pk").values_list("body", flat=True))


def _read(answer: Any) -> Answer:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    answer.close()
    said = list(get_messages(answer.wsgi_request)) if hasattr(answer, "wsgi_request") else []
    headers = {k: v for k, v in answer.headers.items() if k not in OWN_TO_EACH}
    messages = tuple(str(one) for one in said)
    return Answer(
        answer.status_code,
        headers,
        content.decode("utf-8", "replace"),
        messages,
        any(m.level >= ERROR for m in said),
    )


def differences(answer: Answer, missing: Answer) -> list[str]:
    """Where one says of theirs something else than the other says of nothing."""
    texts = [_settled(f"{answer.status}\n{renamed(answer.whole)}"), _settled(f"{missing.status}\n{missing.whole}")]
    if texts[0] == texts[1]:
        return []
    return [line[:300] for line in unified_diff(*[text.splitlines() for text in texts], lineterm="", n=0)]


def _settled(text: str) -> str:
    text = unquote(text)
    for pattern, word in PASSING:
        text = pattern.sub(word, text)
    return text


def shown(answer: Answer, sent: list[str], secrets: frozenset[str]) -> set[str]:
    """What the answer, or what is told to webhooks, shows of the other team besides what the asker has written."""
    return said_of_theirs(f"{answer.whole}\n{answer.told}", sent, secrets)


def said_of_theirs(text: str, sent: list[str], secrets: frozenset[str]) -> set[str]:
    text = unquote(text).replace("&#x27;", "'").lower()
    for word in sorted({word.lower() for word in sent}, key=len, reverse=True):
        text = text.replace(word, "")
    words = {word for word in secrets if word in text}
    return words | set(IDS.findall(text)) | set(re.findall(rf"\S{{0,30}}{THEIRS}\S{{0,30}}", text))


def count_from(number: int) -> None:
    """The next row of each table has this id: what is whose can be told from ids alone."""
    for model in apps.get_app_config("registry").get_models():
        key = model._meta.pk
        if key is None or key.get_internal_type() not in ("BigAutoField", "AutoField"):
            continue
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(
                    "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [model._meta.db_table, number]
                )
            else:
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [model._meta.db_table])
                cursor.execute("INSERT INTO sqlite_sequence VALUES (%s, %s)", [model._meta.db_table, number])


def digests() -> set[str]:
    """Of all bytes that there are."""
    found = set(Artifact.objects.values_list("pk", flat=True)) | set(Manifest.objects.values_list("pk", flat=True))
    return {str(one) for one in found}
