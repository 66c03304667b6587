"""The chat API of the gateway, with what Plethora adds to it: which version answered.

    answer = Chat("http://127.0.0.1:8001", "plc_...").ask("hello")
    answer.text, answer.adapter, answer.digest

Any client of OpenAI's API works as well; this one is for programs that check who answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from client.api import ApiError, patiently


@dataclass(frozen=True)
class Answer:
    """`adapter` is an address, `digest` the version's manifest_sha256; both empty for a bare base."""

    text: str
    adapter: str
    digest: str
    tokens: int
    seconds: float


class Chat:
    """One client key, or one API token with scope `serve`. `patience`: seconds of refused connections and 503."""

    def __init__(self, url: str, key: str, *, patience: float = 30.0, timeout: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def ask(self, prompt: str, *, model: str = "default", max_tokens: int = 32) -> Answer:
        """Greedy, so that the same version gives the same words. Raises ApiError, Unreachable."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        answer = patiently(lambda: self._http.post("/v1/chat/completions", json=body), self.patience, self.url)
        if answer.is_error:
            raise _refusal(answer)
        return _read(answer)


def _read(answer: httpx.Response) -> Answer:
    told: dict[str, Any] = answer.json()
    return Answer(
        text=told["choices"][0]["message"]["content"],
        adapter=answer.headers.get("X-Plethora-Adapter", ""),
        digest=answer.headers.get("X-Plethora-Digest", ""),
        tokens=told["usage"]["completion_tokens"],
        seconds=answer.elapsed.total_seconds(),
    )


def _refusal(answer: httpx.Response) -> ApiError:
    try:
        error = answer.json()["error"]
        return ApiError(answer.status_code, error["code"] or error["type"], error["message"])
    except (ValueError, KeyError, TypeError):
        return ApiError(answer.status_code, "not_plethora", f"{answer.url} answered {answer.status_code}")
