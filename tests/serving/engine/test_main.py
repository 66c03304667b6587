"""The command line: what it refuses before it serves, and how it ends."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn

from serving.engine.__main__ import GRACE, Server, bind, build, parse
from serving.engine.engine import Engine, Limits
from serving.engine.server import create_app
from tests.serving.engine.make import NAME, make_base
from tests.serving.engine.process import eventually


def arguments(base: Path, *more: str) -> list[str]:
    return ["--base", str(base), "--base-name", "tiny@1", "--port", "0", *more]


def test_it_names_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"127.0.0.1:{port} can't be used"):
            bind("127.0.0.1", port)


def test_it_leaves_no_delay_to_small_answers() -> None:
    with bind("127.0.0.1", 0) as bound:
        assert bound.proto == socket.IPPROTO_TCP


def test_it_names_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no config\.json"):
        build(parse(arguments(tmp_path)))


def test_it_says_why_a_model_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ValueError, match="can't be loaded"):
        build(parse(arguments(tmp_path)))


@pytest.mark.parametrize("wrong", [("--rows", "0"), ("--slots", "-1"), ("--dtype", "int8")])
def test_it_refuses_limits_that_make_no_sense(wrong: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        parse(arguments(tmp_path, *wrong))


def test_it_finishes_what_it_answers_when_told_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    """A held step stands for a long answer: the order to end comes while it runs."""
    engine, may_step = Engine(make_base(), Limits(rows=4, max_rank=8)), threading.Event()
    step = engine.scheduler.step
    engine.scheduler.step = lambda: (may_step.wait(), step())[1]  # type: ignore[method-assign]
    with bind("127.0.0.1", 0) as bound, ThreadPoolExecutor() as threads:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        server = Server(uvicorn.Config(create_app(engine), log_level="warning", timeout_graceful_shutdown=GRACE))
        ended = threads.submit(server.run, sockets=[bound])
        assert eventually(lambda: server.started)
        wish = {"model": NAME, "prompt": "hello", "max_tokens": 5, "ignore_eos": True}
        answer = threads.submit(httpx.post, f"{url}/v1/completions", json=wish, timeout=30)
        assert eventually(lambda: engine.scheduler.waiting == 1)
        server.should_exit = True
        assert eventually(lambda: refuses(url))
        may_step.set()
        assert answer.result().json()["usage"]["completion_tokens"] == 5
        ended.result(timeout=20)
    assert not engine.scheduler.alive
    assert json.loads(capsys.readouterr().out)["event"] == "ready"


def refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/health", timeout=1)
    except httpx.TransportError:
        return True
    return False
