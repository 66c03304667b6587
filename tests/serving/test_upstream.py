from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db import OperationalError

from registry.errors import NotFound
from serving.routing import Board, Instance
from serving.schemas import Admission, read_question
from serving.upstream import LIMITS, Engines, TooSlow

BARE = Admission(1, "health/c", "", None, None, 1, "tiny@1", "d" * 64, "tiny@1")


def admission(version: int) -> Admission:
    return Admission(1, "health/c", "", 1, version, 1, f"health/a@{version}", "d" * 64, f"health/a@{version}-dd")


def asked(handle, *, engine: str = "plethora", admissions=(BARE,), versions=()):
    """One question, admitted to `admissions` in turn, to an engine with `versions` that answers with `handle`."""
    left = list(admissions)

    async def admit():
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return found

    async def ask():
        board = Board()
        board.instances = [Instance("http://engine", 1, frozenset(versions), engine)]
        async with httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client:
            return await Engines(board, client).ask("/v1/completions", read_question(b"{}"), admit, "r")

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


def test_it_admits_a_request_anew_that_waits_for_a_version_which_nobody_loads_any_more():
    admissions = [admission(1), OperationalError("away"), admission(2)]
    reply = asked(lambda request: httpx.Response(200, json={}), admissions=admissions, versions=[2])
    assert reply.admission == admissions[-1]


def test_a_request_that_waits_ends_with_its_assignment():
    ended = NotFound("nothing is assigned", code="no_assignment")
    with pytest.raises(NotFound) as refusal:
        asked(lambda request: httpx.Response(200, json={}), admissions=[admission(1), ended])
    assert refusal.value.code == "no_assignment"
