"""A played engine: the whole contract over real HTTP, no model, and the faults that a test asks for.

It answers with the name that it was called by, so that a test sees which adapter was asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PIECES = ["You", " asked", " ", "{model}"]


@dataclass
class Played:
    """`adapters`: name -> path. `faults`: how the next completions go wrong, one each, in their order."""

    base: str
    url: str = ""
    adapters: dict[str, str] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)  # parts of names that can't be loaded
    no_effect: set[str] = field(default_factory=set)  # parts of names that answer as the base does
    logprobs: dict[str, dict[int, float]] = field(default_factory=dict)  # part of a name -> token -> value
    faults: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    hung_up: int = 0
    life: float = field(default_factory=time.time)

    def restart(self) -> None:
        """What a new process would know: nothing."""
        self.adapters.clear()
        self.life = time.time()

    def told(self, model: str) -> dict[int, float]:
        noop = any(part in model for part in self.no_effect)
        found = [] if noop else [told for part, told in self.logprobs.items() if part and part in model]
        return found[0] if found else self.logprobs.get("", {1: -0.5, 2: -1.5})


@dataclass
class Stage:
    """The addresses of the contract."""

    engine: Played

    def app(self) -> Starlette:
        posts = {
            "/v1/load_lora_adapter": self.load,
            "/v1/unload_lora_adapter": self.unload,
            "/v1/completions": self.complete,
            "/v1/chat/completions": self.complete,
        }
        gets = {"/v1/models": self.models, "/v1/engine": self.state}
        routes = [Route(path, act, methods=["POST"]) for path, act in posts.items()]
        return Starlette(routes=routes + [Route(path, act) for path, act in gets.items()])

    async def models(self, _: Request) -> Response:
        base, adapters = self.engine.base, self.engine.adapters
        cards = [{"id": base, "object": "model", "parent": None, "root": "base"}]
        cards += [{"id": n, "object": "model", "parent": base, "root": p} for n, p in adapters.items()]
        return JSONResponse({"object": "list", "data": cards})

    async def state(self, _: Request) -> Response:
        facts = {"engine": "played", "pid": os.getpid(), "started": self.engine.life, "base_loads": 1}
        return JSONResponse({**facts, "swap_ms": 0.5})

    async def load(self, request: Request) -> Response:
        body = await request.json()
        name = body["lora_name"]
        if any(part in name for part in self.engine.refuse):
            return JSONResponse({"error": {"message": f"{name}: lora_A has another shape"}}, 422)
        if name in self.engine.adapters:
            return JSONResponse({"error": {"message": "exists"}}, 400)
        self.engine.adapters[name] = body["lora_path"]
        return PlainTextResponse("Success")

    async def unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        return Response(status_code=200 if self.engine.adapters.pop(name, None) else 404)

    async def complete(self, request: Request) -> Response:
        engine, body = self.engine, await request.json()
        engine.asked.append({**body, "client": request.headers.get("X-Plethora-Client")})
        if body["model"] != engine.base and body["model"] not in engine.adapters:
            return JSONResponse({"error": {"message": "no such model", "code": "model_not_found"}}, 404)
        if "logprobs" in body and isinstance(body.get("prompt"), list):
            told = {f"token_id:{token}": value for token, value in engine.told(body["model"]).items()}
            return JSONResponse({"choices": [{"logprobs": {"top_logprobs": [told]}}]})
        fault = engine.faults.pop(0) if engine.faults else ""
        if fault == "busy":
            error = {"error": {"message": "the queue is full", "code": "queue_full"}}
            return JSONResponse(error, 429, {"Retry-After": "7"})
        if fault == "vanish":
            return Vanish()
        if body.get("stream"):
            return StreamingResponse(_stream(engine, body, fault), media_type="text/event-stream")
        if fault == "slow":
            await _until_hung_up(engine, request)
        return JSONResponse(_whole(body["model"]))


def _whole(model: str) -> dict[str, Any]:
    text = "".join(PIECES).format(model=model)
    choice = {"index": 0, "finish_reason": "stop", "text": text, "message": {"role": "assistant", "content": text}}
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
    return {**answer, "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}


class Vanish(Response):
    """As when the process is killed: the connection breaks before a byte of the answer was sent."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999")]})
        raise ConnectionResetError


async def _stream(engine: Played, body: dict[str, Any], fault: str) -> AsyncIterator[str]:
    def event(**fields: Any) -> str:
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": body["model"], **fields}
        return f"data: {json.dumps(chunk)}\n\n"

    try:
        for at, piece in enumerate(PIECES):
            text = piece.format(model=body["model"])
            finish = "stop" if at == len(PIECES) - 1 else None
            delta = {"index": 0, "delta": {"content": text}, "text": text, "finish_reason": finish}
            yield event(choices=[delta])
            if fault == "slow":
                await asyncio.sleep(0.5)
            if fault == "break" and at == 1:
                raise ConnectionResetError
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
        yield event(choices=[], usage=usage)
        yield "data: [DONE]\n\n"
    except asyncio.CancelledError:
        engine.hung_up += 1
        raise


async def _until_hung_up(engine: Played, request: Request) -> None:
    for _ in range(100):
        if await request.is_disconnected():
            engine.hung_up += 1
            return
        await asyncio.sleep(0.05)


def play(base: str) -> tuple[Played, Callable[[], None]]:
    """The engine, listening on a free port, and what ends it."""
    engine = Played(base)
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.bind(("127.0.0.1", 0))
    engine.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(Stage(engine).app(), log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: server.run(sockets=[bound]), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)

    def end() -> None:
        server.should_exit = True
        thread.join(5)

    return engine, end
