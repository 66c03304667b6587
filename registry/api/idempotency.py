"""`Idempotency-Key`: a repeated POST acts once and gets the stored answer."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from registry.errors import Conflict, Invalid
from registry.services import idempotency

SECRETS = ("token", "key", "password", "secret")
HEADER = "Idempotency-Key"
LONGEST_CALLER = 100


class Replay(Exception):
    """The answer that the first request got."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__("replayed")
        self.status = status
        self.body = body


def begin(request: Request, who: str) -> int | None:
    """Reserve the key; raises `Replay` with the stored answer where the request ran before."""
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise Invalid(f"{HEADER} has 1 to 200 printable characters.", param=HEADER)
    digest = fingerprint(request)
    caller = who if len(who) <= LONGEST_CALLER else hashlib.sha256(who.encode()).hexdigest()
    row, made = idempotency.reserve(caller=caller, key=key, request_sha256=digest)
    if made:
        return row.pk
    if row.request_sha256 != digest:
        raise Invalid(f"{HEADER} was used for another request; send a new one.", param=HEADER, code="key_reused")
    if row.status == 0:
        raise Conflict("The first request with this key is still in progress.", code="in_progress", retry_after=1)
    raise Replay(row.status, row.body)


def finish(row_id: int, response: Response) -> None:
    """Keep the answer of what succeeded, less its secret; forget a refusal, so that it can be tried again."""
    if 200 <= response.status_code < 300:
        idempotency.store(row_id, response.status_code, _plain(without_secrets(response.data)))
    else:
        idempotency.forget(row_id)


def _plain(data: Any) -> Any:
    """As it is sent: times are texts, to the same digit."""
    return None if data is None else json.loads(JSONRenderer().render(data))


def without_secrets(data: Any) -> Any:
    return {k: v for k, v in data.items() if k not in SECRETS} if isinstance(data, dict) else data


def fingerprint(request: Request) -> str:
    """sha256 over method, path and body; of an upload, over its fields and its files' bytes."""
    sha = hashlib.sha256(f"{request.method} {request.get_full_path()}\n{fields_of(request)}".encode())
    idempotency.add_files(sha, request.FILES)
    return sha.hexdigest()


def fields_of(request: Request) -> str:
    """The body's fields in a canonical order."""
    data = request.data
    items = data.items() if hasattr(data, "items") else [("", data)]
    return repr(sorted((str(k), repr(v)) for k, v in items if k not in request.FILES))
