"""The way from the gateway to an engine: choose, ask, and ask again while nothing has reached the caller yet.

A request that waits is admitted anew every half second: its client may have moved on to a version that is there,
from one that nobody will load any more.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace

import httpx
from django.db import Error as DatabaseError

from registry.errors import RegistryError, Unavailable
from serving.routing import Board, Instance, ranked
from serving.schemas import CLIENT_HEADER, REQUEST_HEADER, Admission, Question
from serving.zero import base_model

HOLD_SECONDS = 10.0  # so long a request waits for an engine that has its version
LOOK_SECONDS = 0.05
ANEW_SECONDS = 0.5  # so often a request that waits is admitted anew, and so long that may take
REST_SECONDS = 0.25  # an engine that refused a connection or lacks the version is left alone for so long
MOST_LOSSES = 3  # a request that ends three engines doesn't get a fourth
TIMEOUT = httpx.Timeout(connect=2.0, read=300.0, write=30.0, pool=30.0)
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=256, keepalive_expiry=4.0)  # uvicorn: 5
Admit = Callable[[], Awaitable[Admission]]
log = logging.getLogger(__name__)


class TooSlow(RegistryError):
    """The engine is at it, and for too long: another one would be no faster, and this one works on."""

    status, code, title = 504, "engine_timeout", "The engine took too long"


@dataclass
class Reply:
    """An engine's answer. `lines` is what follows of a stream after `first`; both are empty for a whole answer."""

    response: httpx.Response
    admission: Admission
    first: str = ""
    lines: AsyncIterator[str] | None = None

    async def close(self) -> None:
        """Hang up: the engine frees the slot."""
        await self.response.aclose()


@dataclass(frozen=True)
class Call:
    """What every engine that is tried gets sent."""

    path: str
    question: Question
    admission: Admission
    request_id: str

    @property
    def headers(self) -> dict[str, str]:
        own = {CLIENT_HEADER: self.admission.client_address, REQUEST_HEADER: self.request_id}
        return {"Content-Type": "application/json", **own}

    @property
    def stream(self) -> bool:
        return self.question.stream

    def content(self, instance: Instance) -> bytes:
        """The body in the words of that engine: a bare base has another name where it isn't ours."""
        name = self.admission.engine_model
        if self.admission.version is None:
            name = base_model(name, instance.engine)
        return json.dumps(self.question.for_engine(name)).encode()


@dataclass
class Patience:
    """How long a request may still wait, when it is admitted anew, and which engines it leaves alone meanwhile."""

    until: float
    losses: int = 0
    anew: float = field(default_factory=lambda: time.monotonic() + ANEW_SECONDS)
    resting: dict[str, float] = field(default_factory=dict)

    def may_try(self, instance: Instance) -> bool:
        return self.resting.get(instance.url, 0.0) <= time.monotonic()

    def rest(self, instance: Instance) -> None:
        self.resting[instance.url] = time.monotonic() + REST_SECONDS

    def lost(self, instance: Instance) -> None:
        """An engine broke off before it said a word: whatever time it took, the wait begins anew."""
        self.rest(instance)
        self.losses += 1
        if self.losses < MOST_LOSSES:
            self.until = time.monotonic() + HOLD_SECONDS


class Engines:
    """All engines, seen from the gateway."""

    def __init__(self, board: Board, client: httpx.AsyncClient) -> None:
        self._board = board
        self._client = client

    async def ask(self, path: str, question: Question, admit: Admit, request_id: str) -> Reply:
        """The first answer to be had, and the admission that it belongs to.

        Raises what `admit` raises, and Unavailable (`adapter_not_loaded`) when no answer was in time.
        """
        call = Call(path, question, await admit(), request_id)
        patience = Patience(time.monotonic() + HOLD_SECONDS)
        while time.monotonic() < patience.until and patience.losses < MOST_LOSSES:
            reply = await self._ask_each(call, patience)
            if reply is not None:
                return reply
            await asyncio.sleep(LOOK_SECONDS)
            if patience.anew <= time.monotonic():
                call = await _admitted_anew(call, admit)
                patience.anew = time.monotonic() + ANEW_SECONDS
        raise Unavailable(
            f"No engine has {call.admission.address} loaded yet; ask again in a moment.",
            code="adapter_not_loaded",
            param="model",
            retry_after=2,
        )

    async def _ask_each(self, call: Call, patience: Patience) -> Reply | None:
        """Every engine that has the version, in its order; a full one only if all others are full too."""
        busy: Reply | None = None
        for instance in ranked(self._board.instances, call.admission):
            if not patience.may_try(instance):
                continue
            reply = await self._try(instance, call, patience)
            if reply is not None and reply.response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                return reply
            busy = reply or busy
        return busy

    async def _try(self, instance: Instance, call: Call, patience: Patience) -> Reply | None:
        """None where this engine can't answer: gone, ending, or it lacks the version after a restart."""
        try:
            reply = await self._send(instance, call)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            patience.rest(instance)
            return None
        except httpx.ReadTimeout as error:
            log.warning("%s said nothing for %g s", instance.url, TIMEOUT.read)
            raise TooSlow("The engine didn't answer in time; ask for fewer tokens, or for a stream.") from error
        except httpx.TransportError as error:
            log.warning("%s broke off before it answered: %r", instance.url, error)
            patience.lost(instance)
            return None
        if reply.response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE):
            await reply.close()
            patience.rest(instance)
            return None
        return reply

    async def _send(self, instance: Instance, call: Call) -> Reply:
        url, content = instance.url + call.path, call.content(instance)
        request = self._client.build_request("POST", url, content=content, headers=call.headers)
        response = await self._client.send(request, stream=True)
        try:
            if not call.stream or response.status_code != httpx.codes.OK:
                await response.aread()
                return Reply(response, call.admission)
            lines = response.aiter_lines()
            first = await anext(lines, "")
            return Reply(response, call.admission, first, lines)
        except BaseException:
            await response.aclose()
            raise


async def _admitted_anew(call: Call, admit: Admit) -> Call:
    """Raises what `admit` raises: an assignment that has ended, a key that was revoked meanwhile."""
    try:
        async with asyncio.timeout(ANEW_SECONDS):
            return replace(call, admission=await admit())
    except (DatabaseError, TimeoutError):  # who was assigned what is unknown: what was known holds
        return call
