from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving.routing import Board, Instance
from serving.schemas import Admission, read_question
from serving.upstream import LIMITS, Engines, TooSlow


def asked(handle, *, engine: str = "plethora"):
    """One question for the bare base, to an engine that answers with `handle`."""

    async def ask():
        board = Board()
        board.instances = [Instance("http://engine", 1, frozenset(), engine)]
        async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
            admission = Admission(1, "health/c", "", None, None, 1, "tiny@1", "d" * 64, "tiny@1")
            return await Engines(board, client).ask("/v1/completions", read_question(b"{}"), admission, "r")

    with ThreadPoolExecutor(1) as pool:  # the browser's driver may have left an event loop in this thread
        return pool.submit(asyncio.run, ask()).result()


def test_it_asks_an_engine_that_is_too_slow_only_once():
    calls = []

    def slow(request):
        calls.append(request)
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(TooSlow) as refusal:
        asked(slow)
    assert (len(calls), refusal.value.status) == (1, 504)


@pytest.mark.parametrize(("engine", "model"), [("plethora", b'"tiny@1"'), ("vllm", b'"tiny@1-zero"')])
def test_it_asks_foreign_engines_for_the_base_through_zeros(engine, model):
    calls = []
    asked(lambda request: calls.append(request.content) or httpx.Response(200, json={}), engine=engine)
    assert model in calls[0]


def test_it_drops_idle_connections_before_an_engine_does():
    assert LIMITS.keepalive_expiry is not None
    assert LIMITS.keepalive_expiry < 5  # uvicorn's own, and vLLM's
