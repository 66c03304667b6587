"""One answer of the gateway, piece by piece, with its times."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(connect=2.0, read=120.0, write=10.0, pool=10.0)
SAME_KEY = "The gateway doesn't know this installation's key: web and gateway need the same PLETHORA_SECRET_KEY."
Tell = Callable[[dict[str, Any]], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ask:
    """`ticket` and `body` are nobody else's business."""

    url: str
    ticket: str = field(repr=False)
    request_id: str
    body: dict[str, Any] = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.ticket}", "X-Request-Id": self.request_id}


@dataclass
class Reading:
    """What was read of a stream; `begun` is when it was asked for."""

    begun: float
    first: float | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    finish: str = ""
    whole: bool = False
    error: str = ""

    def take(self, data: str) -> str:
        """The text in one event, perhaps none."""
        if data == "[DONE]":
            self.whole = True
            return ""
        chunk = json.loads(data)
        if "error" in chunk:
            self.error = str(chunk["error"].get("message") or "The engine failed.")
        self.usage = chunk.get("usage") or self.usage
        text = ""
        for choice in chunk.get("choices") or []:
            text += (choice.get("delta") or {}).get("content") or ""
            self.finish = choice.get("finish_reason") or self.finish
        if text and self.first is None:
            self.first = time.monotonic() - self.begun
        return text

    def result(self, answer: httpx.Response) -> dict[str, Any]:
        return {
            "first": self.first,
            "total": time.monotonic() - self.begun,
            "prompt_tokens": self.usage.get("prompt_tokens"),
            "tokens": self.usage.get("completion_tokens"),
            "finish": self.finish,
            "address": answer.headers.get("X-Plethora-Adapter", ""),
            "digest": answer.headers.get("X-Plethora-Digest", ""),
        }


async def relay(ask: Ask, tell: Tell) -> None:
    """Tell every piece, and last `done` or `error`, whatever happens."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=_trusted()) as http:
            tell(await _read(http, ask, tell))
    except (httpx.ConnectError, httpx.ConnectTimeout):
        where = ask.url.partition("/v1/")[0]
        tell({"error": f"The gateway at {where} doesn't answer. Start it:", "command": "make up"})
    except httpx.TransportError as error:
        log.warning("the gateway broke off an answer of the playground: %s", type(error).__name__)
        tell({"error": "The gateway broke off; ask again."})
    except Exception as error:  # noqa: BLE001 - whoever waits for its last line must get one; no text is in its kind
        log.error("an answer of the playground can't be read: %s", type(error).__name__)
        tell({"error": "The answer can't be read; the log of the web process says what it was."})


@cache
def _trusted() -> ssl.SSLContext:
    """Made once: reading the world's authorities would hold up the other columns."""
    return httpx.create_ssl_context()


async def _read(http: httpx.AsyncClient, ask: Ask, tell: Tell) -> dict[str, Any]:
    reading = Reading(time.monotonic())
    async with http.stream("POST", ask.url, json=ask.body, headers=ask.headers) as answer:
        if answer.status_code != httpx.codes.OK:
            return {"error": _refusal(answer.status_code, await answer.aread())}
        async for line in answer.aiter_lines():
            if line.startswith("data:") and (text := reading.take(line[5:].strip())):
                tell({"text": text})
        if reading.error or not reading.whole:
            return {"error": reading.error or "The answer ended in the middle; ask again."}
        return {"done": reading.result(answer)}


def _refusal(status: int, content: bytes) -> str:
    """What the gateway, or the engine behind it, says in OpenAI's error object."""
    if status == httpx.codes.UNAUTHORIZED:
        return SAME_KEY
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The gateway answered {status}."
