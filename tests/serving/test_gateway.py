from __future__ import annotations

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import openai
import psutil
import pytest

from tests.config.waiting import eventually


@pytest.fixture(autouse=True)
def _healthy(engine, site):
    engine.faults.clear()
    engine.asked.clear()


def client_of(site, key):
    return openai.OpenAI(base_url=f"http://127.0.0.1:{site.serving_port}/v1", api_key=key, max_retries=0)


def error_of(answer):
    return answer.status_code, answer.json()["error"]["code"]


def new_client(site, name):
    """A client of the team without an assignment, and a key of it."""
    site.api("POST", "/clients", {"team": "health", "name": name, "vertical": "healthcare"})
    return site.api("POST", f"/clients/health/{name}/keys", {"name": "k"})


def assign(site, client, adapter, **more):
    body = {"adapter": f"health/{adapter}", "alias": "production", "reason": "test", **more}
    return site.api("PUT", f"/clients/health/{client}/assignments/default", body)


def test_it_answers_each_client_by_its_own_adapter(site):
    for name in ("triage", "billing"):
        answer, adapter = site.chat(site.key(name)), site.seed["adapters"][name]
        assert answer.headers["X-Plethora-Adapter"] == adapter["address"] == answer.json()["model"]
        assert answer.headers["X-Plethora-Digest"] == adapter["digest"]
        assert adapter["address"] in answer.json()["choices"][0]["message"]["content"]


def test_it_never_forwards_the_callers_model(site, engine):
    site.chat(site.key("triage"), model="default")
    adapter = site.seed["adapters"]["triage"]
    assert engine.asked[-1]["model"] == f"{adapter['address']}-{adapter['digest'][:12]}"
    assert engine.asked[-1]["client"] == "health/triage-client"


def test_it_serves_the_openai_client(site):
    client = client_of(site, site.key("triage"))
    assert {card.id for card in client.models.list()} == {"default", "health/triage@1"}
    messages = [{"role": "user", "content": "hi"}]
    assert (
        "health/triage@1"
        in client.chat.completions.create(model="default", messages=messages).choices[0].message.content
    )
    assert "health/triage@1" in client.completions.create(model="health/triage@1", prompt="hi").choices[0].text


def test_it_streams_to_the_openai_client(site):
    client = client_of(site, site.key("triage"))
    messages = [{"role": "user", "content": "hi"}]
    chunks = list(client.chat.completions.create(model="default", messages=messages, stream=True))
    assert "health/triage@1" in "".join(chunk.choices[0].delta.content for chunk in chunks)
    assert {chunk.model for chunk in chunks} == {"health/triage@1"}


def test_it_counts_tokens_in_a_stream_only_for_those_who_ask(site):
    client = client_of(site, site.key("triage"))
    wish = {"model": "default", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    last = list(client.chat.completions.create(**wish, stream_options={"include_usage": True}))[-1]
    assert last.usage.completion_tokens == 4
    assert all(chunk.usage is None for chunk in client.chat.completions.create(**wish))


def test_it_refuses_unknown_keys(site):
    assert error_of(site.chat("plc_abcdefgh_" + "x" * 40)) == (401, "invalid_api_key")
    assert error_of(site.chat("nonsense")) == (401, "invalid_api_key")
    with pytest.raises(openai.AuthenticationError):
        client_of(site, "sk-1").models.list()


def test_it_refuses_a_revoked_key_within_a_second(site):
    key = new_client(site, "revoked")
    assign(site, "revoked", "triage")
    assert site.chat(key["key"]).status_code == 200
    site.api("DELETE", f"/clients/health/revoked/keys/{key['id']}")
    assert eventually(lambda: error_of(site.chat(key["key"])) == (401, "invalid_api_key"), 1)


def test_it_refuses_an_expired_key(site):
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    key = site.api("POST", "/clients/health/triage-client/keys", {"name": "short", "expires_at": soon})["key"]
    assert site.chat(key).status_code == 200
    assert eventually(lambda: site.chat(key).status_code == 401, 8)


def test_it_says_no_assignment(site):
    key = new_client(site, "unassigned")["key"]
    assert error_of(site.chat(key)) == (404, "no_assignment")
    assert error_of(site.chat(site.key("triage"), model="nightly")) == (404, "no_assignment")


def test_it_follows_a_new_assignment_within_a_second(site):
    key = new_client(site, "mover")["key"]
    for adapter in ("triage", "billing", "triage"):
        assign(site, "mover", adapter)
        assert eventually(lambda a=adapter: site.chat(key).headers["X-Plethora-Adapter"] == f"health/{a}@1", 1)


def test_it_splits_a_canary_by_user_and_keeps_each_user_on_its_side(site):
    key = new_client(site, "careful")["key"]
    assign(site, "careful", "triage", canary={"version": 2, "percent": 50})

    def sides():
        return [site.chat(key, user=f"user-{n}").headers["X-Plethora-Adapter"] for n in range(12)]

    first = sides()
    assert set(first) == {"health/triage@1", "health/triage@2"}
    assert sides() == first


def test_it_hides_other_models_from_a_client_key(site):
    assert error_of(site.chat(site.key("triage"), model="health/billing@1")) == (404, "model_not_found")
    assert error_of(site.chat(site.key("triage"), model="finance/x@1")) == (404, "model_not_found")


def test_it_lets_a_serve_token_name_any_adapter_of_its_team_and_the_base(site, engine):
    token = site.seed["token"]
    assert site.chat(token, model="health/billing").headers["X-Plethora-Adapter"] == "health/billing@1"
    bare = site.chat(token, model="tiny")
    assert (bare.headers["X-Plethora-Adapter"], engine.asked[-1]["model"]) == ("tiny@1", "tiny@1-zero")
    assert error_of(site.chat(token, model="health/nothing")) == (404, "model_not_found")
    assert error_of(site.chat(token, model="no address!")) == (404, "model_not_found")


def test_it_refuses_a_token_without_serve(site):
    token = site.api("POST", "/tokens", {"team": "health", "name": "ci", "scopes": ["read"]})["token"]
    assert error_of(site.chat(token, model="health/billing")) == (403, "missing_scope")


def test_it_refuses_bodies_that_it_cannot_read(site):
    url, headers = (
        f"http://127.0.0.1:{site.serving_port}/v1/chat/completions",
        {"Authorization": f"Bearer {site.key('triage')}"},
    )
    for body in (b"", b"{", b"[]", b'{"model": 3}', b'{"stream": "yes"}', b"[" * 100_000):
        assert error_of(httpx.post(url, content=body, headers=headers)) == (400, "bad_request")
    assert error_of(httpx.post(url, content=b"x" * (17 << 20), headers=headers)) == (413, "body_too_large")


def test_it_answers_unknown_addresses_in_openais_shape(site):
    answer = httpx.get(f"http://127.0.0.1:{site.serving_port}/v1/nothing")
    assert error_of(answer) == (404, "unknown_url")
    assert answer.headers["X-Request-Id"]


def test_it_passes_a_full_queue_on(site, engine):
    engine.faults = ["busy"]
    answer = site.chat(site.key("triage"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert "X-Plethora-Receipt" not in answer.headers


def test_it_asks_again_when_an_engine_vanishes_before_a_byte_was_sent(site, engine):
    engine.faults = ["vanish"]
    assert site.chat(site.key("triage")).status_code == 200
    engine.faults = ["vanish"]
    assert "[DONE]" in site.chat(site.key("triage"), stream=True).text
    assert len(engine.asked) == 4


def test_it_waits_for_a_restarted_engine(site, engine):
    engine.restart()
    assert site.chat(site.key("triage")).status_code == 200


def test_it_holds_a_request_and_then_says_that_no_engine_has_the_version(site):
    begun = time.monotonic()
    answer = site.chat(site.key("broken"))
    assert error_of(answer) == (503, "adapter_not_loaded")
    assert answer.headers["Retry-After"]
    assert 9 < time.monotonic() - begun < 13


def test_a_request_that_waits_follows_its_clients_move(site, engine):
    key = new_client(site, "waiter")["key"]
    assign(site, "waiter", "broken")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(site.chat, key)
        assert not eventually(held.done, 1)
        asked = assign(site, "waiter", "triage")
        answer = held.result()
    assert (answer.status_code, answer.headers["X-Plethora-Adapter"]) == (200, "health/triage@1")
    assert eventually(lambda: site.receipts("health/waiter"), 3)
    receipt = site.receipts("health/waiter")[0]
    assert (receipt["address"], receipt["assignment"]) == ("health/triage@1", asked["id"])
    assert receipt["admitted_at"] >= asked["valid_from"]


def test_it_says_in_the_stream_when_the_engine_breaks_off(site, engine):
    engine.faults = ["break"]
    with pytest.raises(openai.APIError, match="broke off"):
        list(client_of(site, site.key("triage")).completions.create(model="default", prompt="x", stream=True))


def test_it_hangs_up_on_the_engine_when_the_caller_does(site, engine):
    url, headers = (
        f"http://127.0.0.1:{site.serving_port}/v1/completions",
        {"Authorization": f"Bearer {site.key('triage')}"},
    )
    for stream in (False, True):
        engine.faults, before = ["slow"], engine.hung_up
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json={"prompt": "x", "stream": stream}, headers=headers, timeout=0.4)
        assert eventually(lambda b=before: engine.hung_up == b + 1, 3)


def test_it_shows_a_receipt_within_two_seconds(site):
    answer = site.chat(site.key("billing"), stream=True)
    request = answer.headers["X-Plethora-Receipt"]

    def shown():
        return [line for line in site.receipts("health/billing-client") if line["request"] == request]

    assert eventually(shown, 2)
    line = shown()[0]
    assert (line["address"], line["digest"]) == ("health/billing@1", site.seed["adapters"]["billing"]["digest"])
    assert (line["prompt_tokens"], line["completion_tokens"], line["outcome"]) == (3, 4, "completed")


def test_it_says_that_a_key_is_in_use(site):
    new_client(site, "asks-once")
    assign(site, "asks-once", "triage")
    site.chat(site.api("POST", "/clients/health/asks-once/keys", {"name": "used"})["key"])

    def used():
        keys = site.api("GET", "/clients/health/asks-once/keys")["results"]
        return [key["name"] for key in keys if key["last_used_at"] is not None]

    assert eventually(used, 2)
    assert used() == ["used"]


def test_it_books_a_tokens_traffic_on_the_internal_client(site):
    request = site.chat(site.seed["token"], model="tiny@1").headers["X-Plethora-Receipt"]
    assert eventually(lambda: request in [line["request"] for line in site.receipts("health/internal")], 2)


def test_it_loses_no_receipt_and_counts_none_twice_when_killed(site):
    client = new_client(site, "counted")
    assign(site, "counted", "triage")
    answered = []
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            answer = site.patient_chat(client["key"])
            if answer.status_code == 200:
                answered.append(answer.headers["X-Plethora-Receipt"])
            time.sleep(0.1)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(answered) > 8)
    os.kill(worker_of(site), 9)
    before = len(answered)
    assert eventually(lambda: len(answered) > before + 8, 20)
    stop.set()
    for thread in threads:
        thread.join()

    def recorded():
        return sorted(line["request"] for line in site.receipts("health/counted") if line["request"] in answered)

    assert len(answered) == len(set(answered)) < 200
    assert eventually(lambda: recorded() == sorted(answered), 3)


def worker_of(site) -> int:
    """The process that serves: the largest child of the gateway's master."""
    own = [
        p
        for p in psutil.process_iter(["environ", "cmdline"])
        if (p.info["environ"] or {}).get("PLETHORA_HOME") == str(site.home)
    ]
    masters = [p for p in own if "gateway" in p.info["cmdline"] and p.children()]
    assert masters, "the gateway doesn't run"
    return max(masters[0].children(), key=lambda child: child.memory_info().rss).pid


def test_it_lists_the_problem_of_what_it_cannot_load(site):
    engines = site.api("GET", "/serving")["results"]
    assert [p["address"] for p in engines[0]["problems"]] == ["health/broken@1"]
    assert "another shape" in json.dumps(engines)
