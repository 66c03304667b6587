"""The engine contract, from the reconciler's side. Our engine and vLLM answer alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

TIMEOUT = httpx.Timeout(30.0, connect=1.0)
LOOK_TIMEOUT = httpx.Timeout(10.0, connect=1.0)
LIMITS = httpx.Limits(keepalive_expiry=4.0)  # below the 5 s of uvicorn, which closes without a word
PASSING = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.GATEWAY_TIMEOUT)
ALTERNATIVES = 20  # as many likeliest tokens as vLLM tells


class EngineAway(Exception):
    """The engine doesn't say what it has: it starts, it ended, or it hangs."""


class EngineBusy(Exception):
    """The engine is there, but this call failed: it may do a moment later."""


class LoadRefused(Exception):
    """The engine won't take these files; the message is its own."""


class EngineClient:
    """One engine at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=TIMEOUT, limits=LIMITS, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def models(self) -> tuple[set[str], set[str]]:
        """(names of bases, names of adapters). Raises EngineAway; whatever else fails raises EngineBusy."""
        try:
            response = self._call("GET", "/v1/models", timeout=LOOK_TIMEOUT)
            self._require_ok(response)
        except EngineBusy as error:
            raise EngineAway(str(error)) from error
        cards = response.json()["data"]
        adapters = {card["id"] for card in cards if card.get("parent")}
        return {card["id"] for card in cards} - adapters, adapters

    def state(self) -> dict[str, Any]:
        """What our engine says of itself; vLLM has no such address: {}."""
        response = self._call("GET", "/v1/engine")
        return dict(response.json()) if response.status_code == httpx.codes.OK else {}

    def load(self, name: str, folder: Path) -> None:
        """Raises LoadRefused. A name that exists already is as good: names are immutable."""
        body = {"lora_name": name, "lora_path": str(folder)}
        response = self._call("POST", "/v1/load_lora_adapter", body)
        if response.status_code == httpx.codes.BAD_REQUEST and name in self.models()[1]:
            return
        if response.status_code in PASSING or "already been loaded" in _message(response):
            raise EngineBusy(f"the engine at {self.url} can't load now: {_message(response)}")
        if response.status_code != httpx.codes.OK:
            raise LoadRefused(_message(response))

    def unload(self, name: str) -> None:
        """No error where it is gone already."""
        response = self._call("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if response.status_code != httpx.codes.NOT_FOUND:
            self._require_ok(response)

    def next_token(self, model: str, prompt: Sequence[int]) -> dict[int, float]:
        """Log-probabilities of the likeliest tokens after `prompt`, by token id."""
        body = {
            "model": model,
            "prompt": list(prompt),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": ALTERNATIVES,
            "return_tokens_as_token_ids": True,
        }
        response = self._call("POST", "/v1/completions", body)
        self._require_ok(response)
        told = response.json()["choices"][0]["logprobs"]["top_logprobs"][0]
        return {int(token.removeprefix("token_id:")): value for token, value in told.items()}

    def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, timeout: httpx.Timeout = TIMEOUT
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body, timeout=timeout)
        except httpx.TransportError as error:
            raise EngineBusy(f"the engine at {self.url} doesn't answer: {error}") from error

    def _require_ok(self, response: httpx.Response) -> None:
        if response.status_code != httpx.codes.OK:
            raise EngineBusy(f"the engine at {self.url} answers {response.status_code}: {_message(response)}")


def _message(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:500]
    found = body.get("error", body) if isinstance(body, dict) else body
    return str(found.get("message", found) if isinstance(found, dict) else found)[:500]
