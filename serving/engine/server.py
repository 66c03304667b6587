"""The engine over HTTP: vLLM's private contract. No keys, no TLS: only the gateway and the reconciler reach it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serving.engine import metrics, schemas
from serving.engine.answers import Answer
from serving.engine.engine import Engine, Running
from serving.engine.errors import BadRequest, EngineError, NotFound, TooLarge
from serving.engine.generation import Piece

CLIENT_HEADER = "X-Plethora-Client"
MOST_BODY_BYTES = 16 << 20


def create_app(engine: Engine) -> Starlette:
    """The ASGI application of one engine; its lifespan starts and ends the loop."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start(asyncio.get_running_loop())
        yield
        await asyncio.to_thread(engine.scheduler.close)

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/metrics", metrics_text),
            Route("/v1/models", models),
            Route("/v1/engine", engine_state),
            Route("/v1/load_lora_adapter", load_lora_adapter, methods=["POST"]),
            Route("/v1/unload_lora_adapter", unload_lora_adapter, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
        ],
        exception_handlers={EngineError: on_error, HTTPException: on_http_error, Exception: on_crash},
        lifespan=lifespan,
    )
    app.state.engine = engine
    return app


async def health(request: Request) -> Response:
    """200 while the loop lives."""
    alive = _engine(request).scheduler.alive
    return Response(status_code=200 if alive else 503)


async def metrics_text(request: Request) -> Response:
    engine = _engine(request)
    return PlainTextResponse(metrics.render(engine.metrics, engine.gauges()))


async def models(request: Request) -> Response:
    return JSONResponse({"object": "list", "data": _engine(request).cards()})


async def engine_state(request: Request) -> Response:
    """What the reconciler reports: this process, its base, and where each adapter sits."""
    engine = _engine(request)
    adapters = engine.adapters
    return JSONResponse(
        {
            "pid": os.getpid(),
            "engine": "plethora",
            "base": engine.base.name,
            "base_root": engine.base.path,
            "base_loads": engine.base.loads,
            "context_length": engine.base.context,
            "rows": adapters.rows,
            "max_rank": adapters.max_rank,
            "slots": engine.limits.slots,
            "running": engine.scheduler.running,
            "waiting": engine.scheduler.waiting,
            "swaps": adapters.swaps,
            "swap_ms": adapters.last_swap_ms,
            "started": engine.started,
            "adapters": [
                {
                    "lora_name": each.name,
                    "root": each.path,
                    "rank": each.rank,
                    "row": each.row,
                    "requests": each.waiting,
                }
                for each in adapters.listed()
            ],
        }
    )


async def load_lora_adapter(request: Request) -> Response:
    name, path = schemas.read_load(await _body(request))
    await _engine(request).load(name, path)
    return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")


async def unload_lora_adapter(request: Request) -> Response:
    name = schemas.read_unload(await _body(request))
    _engine(request).adapters.unload(name)
    return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")


async def completions(request: Request) -> Response:
    body = await _body(request)
    return await _complete(
        request, body, chat=False, prompt=lambda: _engine(request).text_prompt(schemas.read_prompt(body))
    )


async def chat_completions(request: Request) -> Response:
    body = await _body(request)
    return await _complete(
        request, body, chat=True, prompt=lambda: _engine(request).chat_prompt(schemas.read_messages(body))
    )


async def _complete(
    request: Request, body: dict[str, Any], *, chat: bool, prompt: Callable[[], list[int]]
) -> Response:
    engine = _engine(request)
    wish = schemas.read_wish(body, chat=chat)
    if wish.model != engine.base.name and engine.adapters.find(wish.model) is None:
        raise NotFound(f"The model {wish.model!r} does not exist", param="model", code="model_not_found")
    tokens = await asyncio.to_thread(prompt)  # a long text takes seconds: the answers that run must not wait
    running = await engine.begin(wish, tokens, client=request.headers.get(CLIENT_HEADER, ""), chat=chat)
    answer = Answer(
        model=wish.model,
        chat=chat,
        tokenizer=engine.base.tokenizer,
        prompt_tokens=len(tokens),
        logprobs=wish.sampling.logprobs is not None,
        ids_as_tokens=wish.ids_as_tokens,
        usage_in_chunks=wish.usage_in_chunks,
    )
    if wish.stream:
        events = _events(running, answer, include_usage=wish.include_usage)
        return EventStream(events, on_end=lambda: engine.scheduler.cancel(running.generation))
    try:
        pieces = await _unless_closed(request, _collect(running))
    finally:
        engine.scheduler.cancel(running.generation)
    return JSONResponse(answer.whole(pieces, running.generation.count))


async def _collect(running: Running) -> list[Piece]:
    return [piece async for piece in running.pieces()]


async def _unless_closed(request: Request, work: Awaitable[list[Piece]]) -> list[Piece]:
    """The result of `work`, or HTTPException as soon as the caller hangs up: nobody would read it."""

    async def closed() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    wanted, hung_up = asyncio.ensure_future(work), asyncio.ensure_future(closed())
    try:
        await asyncio.wait({wanted, hung_up}, return_when=asyncio.FIRST_COMPLETED)
        if not wanted.done():
            raise HTTPException(499, "the caller closed the connection")
        return wanted.result()
    finally:
        wanted.cancel()
        hung_up.cancel()


async def _events(running: Running, answer: Answer, *, include_usage: bool) -> AsyncIterator[str]:
    """Server-sent events: the chunks, usage if asked for, [DONE]."""
    if answer.chat:
        yield _event(answer.opening())
    try:
        async for piece in running.pieces():
            yield _event(answer.chunk(piece, running.generation.count))
    except EngineError as error:
        yield _event(_error_body(error))
    else:
        if include_usage:
            yield _event(answer.closing(running.generation.count))
    yield "data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


class EventStream(StreamingResponse):
    """Server-sent events; `on_end` is called however the stream ends, a closed connection included."""

    def __init__(self, events: AsyncIterator[str], *, on_end: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
        self.on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.on_end()


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises BadRequest or TooLarge."""
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MOST_BODY_BYTES:
            raise TooLarge(f"The body is above {MOST_BODY_BYTES} bytes")
    try:
        body = json.loads(received)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object")
    return body


def _error_body(error: EngineError) -> dict[str, Any]:
    return {
        "error": {
            "message": error.message,
            "type": error.kind,
            "param": error.param,
            "code": error.code or error.status,
        }
    }


async def on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, EngineError)  # noqa: S101 - Starlette's handlers are typed for Exception
    _engine(request).metrics.refused[error.status] += 1
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    return JSONResponse(_error_body(error), status_code=error.status, headers=headers)


async def on_http_error(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else str(error)
    body = {"error": {"message": detail, "type": "HTTPError", "param": None, "code": status}}
    return JSONResponse(body, status_code=status)


async def on_crash(request: Request, error: Exception) -> Response:
    return await on_error(request, EngineError(f"Internal error: {type(error).__name__}"))
