"""The public chat API: key -> assignment -> version -> engine, and a receipt for each answer.

    read the body -> admit -> ask an engine -> spool the receipt -> the last byte to the caller

One process, no torch. The database is asked by selectors in a few threads; the answers stream by on one loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from registry.errors import NotFound, RegistryError, TooLarge, Unavailable
from serving import routing
from serving.answers import Record, Relay, whole
from serving.auth import identify
from serving.receipts import Ingester, Spool
from serving.schemas import REQUEST_HEADER, Admission, error_body, read_question
from serving.upstream import LIMITS, TIMEOUT, Engines

MOST_BODY_BYTES = 16 << 20
DATABASE_THREADS = 8
REVOKED_WITHIN = 0.5  # seconds; a body or an engine may take longer, and the key is asked for again then
HUNG_UP = 499  # nginx's number for a caller that didn't wait
T = TypeVar("T")
log = logging.getLogger(__name__)


class Gateway:
    """What the requests share."""

    def __init__(self, spool: Path) -> None:
        self.board = routing.Board()
        self.spool = Spool(spool)
        self.ingester = Ingester(self.spool)
        self.client = httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, trust_env=False)
        self.engines = Engines(self.board, self.client)
        self._threads = ThreadPoolExecutor(DATABASE_THREADS, thread_name_prefix="database")

    async def start(self) -> None:
        with contextlib.suppress(DatabaseError):
            await self.read(self.board.refresh)
        self.board.start()
        self.ingester.start()

    async def stop(self) -> None:
        await self.client.aclose()
        await asyncio.to_thread(self.board.stop)
        await asyncio.to_thread(self.ingester.stop)
        self._threads.shutdown(wait=False)

    async def read(self, ask: Callable[..., T], *arguments: Any) -> T:
        """`ask` in a thread that has a database connection of its own."""

        def asked() -> T:
            close_old_connections()
            return ask(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._threads, asked)


def create_app(spool: Path) -> Starlette:
    """The ASGI application; `spool` is the folder that keeps receipts until the database has them."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.gateway = Gateway(spool)
        await app.state.gateway.start()
        yield
        await app.state.gateway.stop()

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/v1/models", models),
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/completions", complete, methods=["POST"]),
        ],
        exception_handlers={
            RegistryError: on_refusal,
            DatabaseError: on_database_away,
            HTTPException: on_http_error,
            Exception: on_crash,
        },
        lifespan=lifespan,
    )


async def healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """200 while the database answers; how many engines serve is told, not required."""
    gateway = _gateway(request)
    await gateway.read(connection.ensure_connection)
    return JSONResponse({"status": "ok", "engines": len(gateway.board.instances)})


async def models(request: Request) -> Response:
    cards = await _gateway(request).read(routing.models, request.headers.get("Authorization", ""))
    return JSONResponse({"object": "list", "data": cards}, headers=_request_id(request))


async def complete(request: Request) -> Response:
    """Both completion calls: whole or streamed."""
    gateway = _gateway(request)
    record = Record(gateway.spool)
    request_id = _request_id(request)[REQUEST_HEADER]
    # Before the body is read: a stranger's megabytes cost nothing.
    authorization, known = request.headers.get("Authorization", ""), time.monotonic()
    asker = await gateway.read(identify, authorization)
    record.credential = asker.credential
    question = read_question(await _body(request))
    share_key = question.user or request.headers.get(REQUEST_HEADER) or record.request

    async def admit() -> Admission:
        nonlocal asker, known
        if time.monotonic() - known > REVOKED_WITHIN:
            known, asker = time.monotonic(), await gateway.read(identify, authorization)
        return await gateway.read(routing.admit, asker, question.model, share_key)

    asked = gateway.engines.ask(request.url.path, question, admit, request_id)
    reply = await _unless_hung_up(request, asked)
    if reply is None:
        return Response(status_code=HUNG_UP)
    headers = record.headers(reply.admission) | {REQUEST_HEADER: request_id}
    if reply.lines is None:
        return whole(reply, record, headers)
    return Relay(
        reply,
        record,
        headers=headers,
        show_usage=question.include_usage,
        every=question.usage_in_chunks,
    )


async def _unless_hung_up(request: Request, work: Awaitable[T]) -> T | None:
    """The result of `work`; None as soon as the caller hangs up, for then the engine shall stop too."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    wanted, gone = asyncio.ensure_future(work), asyncio.ensure_future(hung_up())
    try:
        await asyncio.wait({wanted, gone}, return_when=asyncio.FIRST_COMPLETED)
        return wanted.result() if wanted.done() else None
    finally:
        wanted.cancel()
        gone.cancel()
        await asyncio.gather(wanted, gone, return_exceptions=True)


async def _body(request: Request) -> bytes:
    """The whole body. Raises TooLarge before it is read whole."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise TooLarge(f"The body has more than {MOST_BODY_BYTES} bytes; send less.", code="body_too_large")
    return bytes(body)


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


def _request_id(request: Request) -> dict[str, str]:
    """The caller's own id where it is well formed, or a new one; the same one for the whole request."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = routing.request_id(request.headers.get(REQUEST_HEADER, ""))
    return {REQUEST_HEADER: request.state.request_id}


# Refusals -----------------------------------------------------------------------------------------------------


async def on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RegistryError)  # noqa: S101 - Starlette calls it for nothing else
    headers = _request_id(request)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(error_body(error), error.status, headers)


async def on_database_away(request: Request, error: Exception) -> Response:
    log.warning("the database is away: %s", error)
    refusal = Unavailable("The registry's database is away; ask again.", code="database_away", retry_after=2)
    return await on_refusal(request, refusal)


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    refusal = NotFound(f"{request.method} {request.url.path}: {error.detail}.", code="unknown_url")
    refusal.status = error.status_code
    return await on_refusal(request, refusal)


async def on_crash(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=HUNG_UP)
    refusal = Unavailable("The gateway failed; its log says how.", code="internal_error")
    refusal.status = 500
    return await on_refusal(request, refusal)
