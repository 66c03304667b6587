"""What goes in and out of the chat API: the caller's body, what it was resolved to, OpenAI's error object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from registry.errors import Malformed, RegistryError

ADAPTER_HEADER = "X-Plethora-Adapter"
DIGEST_HEADER = "X-Plethora-Digest"
RECEIPT_HEADER = "X-Plethora-Receipt"
REQUEST_HEADER = "X-Request-Id"
CLIENT_HEADER = "X-Plethora-Client"  # tells our engine between whom it has to be fair
DEFAULT_SLOT = "default"


@dataclass(frozen=True)
class Admission:
    """What a request was resolved to; from an engine's first word on it ends on this, whatever moves later.

    `engine_model` is the immutable name under which engines know the version; `version` is None for a bare base.
    `at` comes after the reading: what was read held at a moment before it, never only after it.
    """

    client: int
    client_address: str
    slot: str
    assignment: int | None
    version: int | None
    base_version: int
    address: str
    digest: str
    engine_model: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True)
class Question:
    """The caller's body, as far as the gateway looks into it."""

    body: dict[str, Any]
    model: str
    user: str
    stream: bool
    include_usage: bool
    usage_in_chunks: bool = False  # vLLM's continuous_usage_stats

    def for_engine(self, model: str) -> dict[str, Any]:
        """The engine's body: its own name for the version, never the caller's; usage is always counted."""
        body = {**self.body, "model": model}
        if self.stream:
            counted = {"include_usage": True, "continuous_usage_stats": True}
            body["stream_options"] = {**(self.body.get("stream_options") or {}), **counted}
        return body


def engine_name(address: str, digest: str) -> str:
    """One immutable name per version: `team/adapter@3-<first 12 of the digest>`."""
    return f"{address}-{digest[:12]}"


def read_question(raw: bytes) -> Question:
    """Raises Malformed for what is no JSON object, or has a field of another type. The rest is the engine's."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed("The body is not JSON; send one object, as OpenAI's API takes it.") from error
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    _require_text(raw, body)
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise Malformed("stream_options must be an object.", param="stream_options")
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise Malformed("stream must be true or false.", param="stream")
    return Question(
        body=body,
        model=_text(body, "model") or DEFAULT_SLOT,
        user=_text(body, "user"),
        stream=bool(stream),
        include_usage=bool((options or {}).get("include_usage")),
        usage_in_chunks=bool((options or {}).get("continuous_usage_stats")),
    )


def _require_text(raw: bytes, body: dict[str, Any]) -> None:
    """JSON may write half of a surrogate pair; neither a hash, nor a database, nor a tokenizer can take it."""
    if b"\\u" not in raw and b"\xed" not in raw:
        return
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Malformed("The body has half of a surrogate pair in a text; send whole characters.") from error


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{field} must be a text.", param=field)
    if value and "\0" in value:  # a database doesn't take it
        raise Malformed(f"{field} must not have a NUL character.", param=field)
    return value or ""


KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def error_body(error: RegistryError) -> dict[str, Any]:
    """OpenAI's error object."""
    kind = KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def tokens_used(usage: Any) -> tuple[int, int]:
    """(prompt, completion) tokens of OpenAI's usage object; 0 where an engine left them out."""
    usage = usage if isinstance(usage, dict) else {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
