"""The command line: what it refuses before it serves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from serving.engine.__main__ import bind, build, parse


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
