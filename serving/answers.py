"""An engine's answer on its way to the caller, and the receipt that is written before its last byte."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio
import httpx
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from registry.errors import Unavailable
from serving.receipts import Spool
from serving.schemas import ADAPTER_HEADER, DIGEST_HEADER, RECEIPT_HEADER, Admission, error_body, tokens_used
from serving.upstream import Reply

DONE = "data: [DONE]\n\n"
log = logging.getLogger(__name__)


class Record:
    """The receipt of one request; written once, whatever happens."""

    def __init__(self, spool: Spool) -> None:
        self.request = uuid.uuid4().hex
        self.credential = ""
        self._spool = spool
        self._begun = time.monotonic()
        self._written = False

    def headers(self, admission: Admission) -> dict[str, str]:
        return {
            ADAPTER_HEADER: admission.address,
            DIGEST_HEADER: admission.digest,
            RECEIPT_HEADER: self.request,
        }

    def write(self, admission: Admission, tokens: tuple[int, int], outcome: str) -> None:
        """Raises Unavailable where the line can't be kept: what isn't recorded isn't answered."""
        if self._written:
            return
        line = {
            "request": self.request,
            "at": datetime.now(UTC).isoformat(),
            "admitted_at": admission.at.isoformat(),
            "client": admission.client,
            "slot": admission.slot,
            "assignment": admission.assignment,
            "version": admission.version,
            "base_version": admission.base_version,
            "digest": admission.digest,
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "milliseconds": round((time.monotonic() - self._begun) * 1000),
            "outcome": outcome,
            "credential": self.credential,
        }
        try:
            self._spool.write(line)
        except OSError as error:
            log.error("a receipt can't be kept: %s", error)
            message = "The receipt of this answer can't be kept, so it isn't given; free room on the disk."
            raise Unavailable(message, code="receipt_not_kept", retry_after=5) from error
        self._written = True


def whole(reply: Reply, record: Record, headers: Mapping[str, str]) -> Response:
    """An answer that came in one piece; refusals of the engine pass through without a receipt."""
    response = reply.response
    if response.status_code != httpx.codes.OK:
        kept = {name: value for name, value in headers.items() if name != RECEIPT_HEADER}
        if "Retry-After" in response.headers:
            kept["Retry-After"] = response.headers["Retry-After"]
        return Response(response.content, response.status_code, kept, "application/json")
    body = response.json()
    body["model"] = reply.admission.address
    record.write(reply.admission, tokens_used(body.get("usage")), "completed")
    return JSONResponse(body, headers=dict(headers))


class Relay(StreamingResponse):
    """Server-sent events of an engine, with the version's address in place of the engine's own name for it."""

    def __init__(
        self,
        reply: Reply,
        record: Record,
        *,
        headers: Mapping[str, str],
        show_usage: bool,
        every: bool = False,
    ) -> None:
        super().__init__(self._events(), headers=dict(headers), media_type="text/event-stream")
        self._reply = reply
        self._record = record
        self._admission = reply.admission
        self._show_usage = show_usage
        self._in_every_chunk = every
        self._usage: Any = None
        self._pieces = 0
        self._outcome = "completed"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """However it ends, the engine's slot is freed and the receipt is written."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._reply.close()
            with contextlib.suppress(Unavailable):  # nobody is left to be told; the log has it
                self._write("disconnected" if self._outcome == "completed" else self._outcome)

    async def _events(self) -> AsyncIterator[str]:
        try:
            async for data in self._data():
                if data == "[DONE]":
                    self._write(self._outcome)
                    yield DONE
                    return
                if event := self._event(json.loads(data)):
                    yield event
        except Unavailable as refusal:
            yield _error_event(refusal)
            return
        except httpx.TransportError as error:
            log.warning("an engine broke off in the middle of an answer: %r", error)
        self._outcome = "broken"
        yield _error_event(Unavailable("The engine broke off; ask again.", code="engine_lost"))

    async def _data(self) -> AsyncIterator[str]:
        """What the engine's events carry."""
        if self._reply.first.startswith("data:"):
            yield self._reply.first[5:].strip()
        if self._reply.lines is not None:
            async for line in self._reply.lines:
                if line.startswith("data:"):
                    yield line[5:].strip()

    def _event(self, chunk: dict[str, Any]) -> str:
        """One event for the caller; empty for the count of tokens that it didn't ask for.

        The engine counts in every chunk, so that a receipt is right also for a caller that hangs up.
        """
        if usage := chunk.get("usage"):
            self._usage = usage
        last = chunk.get("choices") == [] and "error" not in chunk
        if not (self._in_every_chunk or (self._show_usage and last)):
            chunk.pop("usage", None)
            if last:
                return ""
        if "model" in chunk:
            chunk["model"] = self._admission.address
        if "error" in chunk:
            self._outcome = "failed"
        self._pieces += bool(chunk.get("choices"))
        return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"

    def _write(self, outcome: str) -> None:
        tokens = tokens_used(self._usage) if self._usage else (0, self._pieces)
        self._record.write(self._admission, tokens, outcome)


def _error_event(refusal: Unavailable) -> str:
    return f"data: {json.dumps(error_body(refusal))}\n\n"
