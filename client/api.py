"""The REST API as plain methods: JSON in, JSON out, every refusal an ApiError.

    client = Client("http://127.0.0.1:8000", "plt_...")
    job = client.post("/training-jobs", {"adapter": "health/triage", "dataset": "health/notes@1"})

A server that restarts is waited for: refused and broken connections and 503 are tried again for `patience`
seconds. That is safe for POST too, since each carries an Idempotency-Key.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import httpx

PREFIX = "/api/v1"
RETRY_SECONDS = 0.25
Files = list[tuple[str, tuple[str, bytes]]]  # (field, (path, content))


class ApiError(Exception):
    """A refusal: `status`, a stable `code`, a message for people, and `errors` field by field."""

    def __init__(self, status: int, code: str, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors or []


class Unreachable(Exception):
    """Nobody answered at the address within the patience."""


class Client:
    """One installation and one API token. `patience`: seconds; 0 tries once."""

    def __init__(self, url: str, token: str, *, patience: float = 10.0, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self._http = httpx.Client(
            base_url=self.url + PREFIX, headers={"Authorization": f"Bearer {token}"}, timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **params: Any) -> Any:
        return self._call("GET", path, params=_given(params))

    def post(
        self, path: str, body: Any = None, *, params: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> Any:
        longer = {} if timeout is None else {"timeout": timeout}
        return self._call("POST", path, json=body, params=params, headers=_once(), **longer)

    def put(self, path: str, body: Any, *, if_match: str | None = None) -> Any:
        """`if_match`: the ETag of what the caller read; it is refused where that has changed since."""
        return self._call("PUT", path, json=body, headers=_given({"If-Match": if_match}))

    def patch(self, path: str, body: Any) -> Any:
        return self._call("PATCH", path, json=body)

    def tagged(self, path: str) -> tuple[Any, str]:
        """An object and its ETag."""
        answer = self._answer("GET", path)
        return answer.json(), answer.headers["ETag"]

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def upload(self, path: str, files: Files, fields: Mapping[str, Any] | None = None) -> Any:
        """Multipart: each file under its path, and plain `fields` beside them."""
        return self._call("POST", path, files=files, data=dict(fields or {}), headers=_once())

    def download(self, path: str) -> bytes:
        return self._answer("GET", path, follow_redirects=True).content

    def stream(self, path: str, *, accept: str, **params: Any) -> Iterator[bytes]:
        """The bytes of a long answer as they come; one that breaks off raises Unreachable."""
        try:
            with self._http.stream("GET", path, params=_given(params), headers={"Accept": accept}) as answer:
                if answer.is_error or answer.is_redirect:
                    answer.read()
                    raise refusal(answer)
                yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise Unreachable(f"{self.url} broke off: {error}") from error

    def pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every result of a list, page after page."""
        page = self.get(path, **params)
        while True:
            yield from page["results"]
            if not page.get("next"):
                return
            query = httpx.URL(page["next"]).params
            page = self.get(path, **dict(query))

    def me(self) -> dict[str, Any]:
        """Whose token this is: user, team, role, scopes, administrator."""
        return dict(self.get("/me"))

    def resolve(self, client: str, *, slot: str = "default", at: str | None = None) -> dict[str, Any]:
        """Which version `client` was assigned at the moment `at` (RFC 3339; now where left out)."""
        return dict(self.get("/resolve", client=client, slot=slot, at=at))

    def _call(self, method: str, path: str, **words: Any) -> Any:
        answer = self._answer(method, path, **words)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **words: Any) -> httpx.Response:
        answer = patiently(lambda: self._http.request(method, path, **words), self.patience, self.url)
        if answer.is_error or answer.is_redirect:
            raise refusal(answer)
        return answer


def patiently(ask: Callable[[], httpx.Response], patience: float, where: str) -> httpx.Response:
    """Ask until somebody answers with anything but 503. Raises Unreachable after `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            answer = ask()
        except httpx.TransportError as error:
            if time.monotonic() > end or isinstance(error, httpx.UnsupportedProtocol):
                raise Unreachable(f"Nobody answers at {where}: {error}") from error
        else:
            if not _worth_waiting(answer) or time.monotonic() > end:
                return answer
        time.sleep(RETRY_SECONDS)


def _worth_waiting(answer: httpx.Response) -> bool:
    """503, and the 409 of a POST whose first try is still being worked on."""
    return answer.status_code == 503 or (answer.status_code == 409 and '"in_progress"' in answer.text)


def refusal(answer: httpx.Response) -> ApiError:
    """The problem document as an ApiError; a page of somebody else's server keeps its status."""
    try:
        problem = answer.json()
        return ApiError(answer.status_code, problem["code"], problem["detail"], problem.get("errors"))
    except (ValueError, KeyError, TypeError):
        message = f"{answer.url} answered {answer.status_code}, and not as Plethora does: is the address right?"
        return ApiError(answer.status_code, "not_plethora", message)


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


def _once() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}
