"""The HTTP surface of a real engine process."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.serving.engine.make import CONTEXT, NAME, save_base
from tests.serving.engine.process import EngineProcess, eventually, sse, start


def test_it_answers_each_model_with_its_own_adapter(process: EngineProcess) -> None:
    texts = [process.complete(model).json()["choices"][0]["text"] for model in (NAME, "a0", "a1", "a2", "a3")]
    assert len(set(texts)) == 5


def test_it_answers_many_at_once_as_one_by_one(process: EngineProcess) -> None:
    models = [NAME, "a0", "a1", "a2", "a3", "a4", "a5"]
    alone = [process.complete(model).json()["choices"][0]["text"] for model in models]
    with ThreadPoolExecutor(len(models)) as pool:
        together = list(pool.map(lambda model: process.complete(model).json()["choices"][0]["text"], models))
    assert together == alone


def test_it_loads_the_base_once_through_all_swaps(process: EngineProcess) -> None:
    for model in ("a0", "a1", "a2", "a3", "a4", "a5"):
        process.complete(model, max_tokens=1)
    state = process.state()
    assert (state["pid"], state["base_loads"], state["base"]) == (process.child.pid, 1, NAME)
    assert state["swaps"] > state["rows"]
    assert state["swap_ms"] > 0


def test_it_lists_cards_with_parent_and_root(process: EngineProcess, shelf: Path) -> None:
    cards = {card["id"]: card for card in process.http.get("/v1/models").json()["data"]}
    assert cards[NAME]["parent"] is None
    assert (cards["a3"]["parent"], cards["a3"]["root"]) == (NAME, str(shelf / "a3"))


@pytest.mark.parametrize("kind", ["complete", "chat"])
def test_it_streams_what_it_answers_whole(kind: str, process: EngineProcess) -> None:
    ask = getattr(process, kind)
    whole = ask("a0", logprobs=3 if kind == "complete" else True).json()
    events = sse(ask("a0", stream=True, stream_options={"include_usage": True}).text)
    parts = [choice for event in events for choice in event["choices"]]
    text = "".join(part.get("text") or part.get("delta", {}).get("content", "") for part in parts)
    choice = whole["choices"][0]
    assert text == (choice["text"] if kind == "complete" else choice["message"]["content"])
    assert parts[-1]["finish_reason"] == choice["finish_reason"]
    assert events[-1]["usage"] == whole["usage"]


def test_it_streams_log_probabilities_for_every_token(process: EngineProcess) -> None:
    whole = process.complete("a0", logprobs=2).json()["choices"][0]["logprobs"]
    events = sse(process.complete("a0", logprobs=2, stream=True).text)
    told = [logprob for event in events for logprob in event["choices"][0]["logprobs"]["token_logprobs"]]
    assert told == pytest.approx(whole["token_logprobs"], abs=1e-5)


def test_it_probes_the_next_token_of_given_ids(process: EngineProcess) -> None:
    probe: dict[str, Any] = {"max_tokens": 1, "logprobs": 5, "return_tokens_as_token_ids": True}
    [top] = process.complete("a1", [5, 6, 7], **probe).json()["choices"][0]["logprobs"]["top_logprobs"]
    [bare] = process.complete(NAME, [5, 6, 7], **probe).json()["choices"][0]["logprobs"]["top_logprobs"]
    assert len(top) == 5
    assert all(key.startswith("token_id:") and value < 0 for key, value in top.items())
    assert top != bare


def test_it_stops_at_a_stop_string(process: EngineProcess) -> None:
    text = process.complete("a2", max_tokens=30).json()["choices"][0]["text"]
    choice = process.complete("a2", max_tokens=30, stop=[text[4]]).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (text[: text.index(text[4])], "stop")


def test_it_reproduces_a_seed(process: EngineProcess) -> None:
    def drawn(seed: int) -> str:
        answer = process.complete("a0", temperature=1.3, top_p=0.9, top_k=50, seed=seed)
        text: str = answer.json()["choices"][0]["text"]
        return text

    assert drawn(1) == drawn(1) != drawn(2)


def test_it_fills_the_context_and_no_more(process: EngineProcess) -> None:
    answer = process.chat(max_tokens=10_000, ignore_eos=True).json()
    assert answer["usage"]["total_tokens"] == CONTEXT
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": "x" * CONTEXT}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": [300]}, "prompt"),
        ({"prompt": {"text": "no"}}, "prompt"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"stop": [""]}, "stop"),
        ({"logprobs": 21}, "logprobs"),
        ({"frequency_penalty": 1.5}, "frequency_penalty"),
        ({"stream": "yes"}, "stream"),
        ({"model": ""}, "model"),
    ],
)
def test_it_names_the_field_it_refuses(body: dict[str, Any], param: str, process: EngineProcess) -> None:
    wish = json.dumps({"model": NAME, "prompt": "hi"} | body)
    answer = process.http.post("/v1/completions", content=wish)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_it_says_how_long_a_prompt_may_be(process: EngineProcess) -> None:
    error = process.complete(prompt="x" * 200).json()["error"]
    assert "200 tokens" in error["message"]
    assert str(CONTEXT) in error["message"]
    assert error["code"] == "context_length_exceeded"


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b""])
def test_it_refuses_a_body_that_is_no_json_object(content: bytes, process: EngineProcess) -> None:
    answer = process.http.post("/v1/chat/completions", content=content)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "messages", [None, [], ["hi"], [{"role": "user"}], [{"content": "hi"}], [{"role": 1, "content": "x"}]]
)
def test_it_refuses_messages_that_are_none(messages: object, process: EngineProcess) -> None:
    answer = process.http.post("/v1/chat/completions", json={"model": NAME, "messages": messages})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("messages")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_it_never_falls_back_to_the_base(path: str, process: EngineProcess) -> None:
    body = {"model": "unknown", "prompt": "hi", "messages": [{"role": "user", "content": "hi"}]}
    answer = process.http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_it_unloads_a_name_and_loads_it_again(process: EngineProcess, shelf: Path) -> None:
    before = process.complete("a5").json()["choices"][0]["text"]
    assert process.unload("a5").status_code == 200
    assert process.complete("a5").status_code == 404
    assert process.unload("a5").status_code == 404
    assert process.load("a5", shelf / "a5").status_code == 200
    assert process.complete("a5").json()["choices"][0]["text"] == before


def test_it_takes_another_path_for_a_name_only_after_unloading(process: EngineProcess, shelf: Path) -> None:
    refusal = process.load("a0", shelf / "a1")
    assert refusal.status_code == 400
    assert "already been loaded" in refusal.json()["error"]["message"]
    assert process.load("new", shelf / "missing").status_code == 404


def test_it_frees_the_slot_of_a_closed_connection(process: EngineProcess) -> None:
    body = {"model": "a0", "prompt": "hi", "max_tokens": 90, "stream": True, "ignore_eos": True}
    url = f"{process.http.base_url}/v1/completions"
    before = cancelled(process)
    with httpx.stream("POST", url, json=body) as answer:
        next(answer.iter_lines())
    assert eventually(lambda: process.state()["running"] == 0)
    assert cancelled(process) == before + 1


def test_it_frees_the_slot_of_a_caller_who_did_not_wait(process: EngineProcess) -> None:
    before = cancelled(process)
    body = b'{"model":"a0","prompt":"hi","max_tokens":90,"ignore_eos":true}'
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((process.http.base_url.host, process.http.base_url.port or 0)) as line:
        line.sendall(head + body)
        assert eventually(lambda: process.state()["running"] == 1)
    assert eventually(lambda: process.state()["running"] == 0)
    assert cancelled(process) == before + 1


def cancelled(process: EngineProcess) -> int:
    lines = process.http.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith('plethora_engine_requests_total{finish="cancelled"}')]
    return int(found[0].split()[-1]) if found else 0


def test_it_turns_away_what_is_beyond_the_queue(process: EngineProcess) -> None:
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: process.complete("a0", max_tokens=80), range(24)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert {answer.status_code for answer in answers} == {200, 429}


def test_it_speaks_to_openais_own_client(process: EngineProcess) -> None:
    client = openai.OpenAI(base_url=f"{process.http.base_url}/v1", api_key="unused", max_retries=0)
    answer = client.chat.completions.create(
        model="a0", messages=[{"role": "user", "content": "hello"}], temperature=0, max_tokens=8, logprobs=True
    )
    stream = client.chat.completions.create(
        model="a0", messages=[{"role": "user", "content": "hello"}], temperature=0, max_tokens=8, stream=True
    )
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert streamed == answer.choices[0].message.content
    assert answer.choices[0].logprobs is not None
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="unknown", prompt="hi")


def test_it_ends_when_its_stdin_closes(tmp_path: Path) -> None:
    engine = start(save_base(tmp_path / "base"))
    answer = engine.complete(max_tokens=2)
    assert answer.status_code == 200
    engine.end()
    with pytest.raises(httpx.ConnectError):
        engine.http.get("/health")
