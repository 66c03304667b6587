"""`manage.py up` as its user meets it: real processes, a real engine with a real (tiny) model, and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.config.waiting import eventually
from tests.serving.installation import MANAGE, Installation, install
from tests.serving.sessions import new_person, signed_in, text_of, told


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return install(tmp_path_factory.mktemp("up"), adapters=["triage", "billing"], real=True)


@pytest.fixture(scope="module")
def up(site: Installation) -> Iterator[psutil.Process]:
    """A running `up`; its children are gone after the tests, whatever those did."""
    with (site.home / "up.log").open("ab") as log:
        child = subprocess.Popen([*MANAGE, "up"], env=site.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    site.wait_for(site.port, site.serving_port)
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()


def below(up: psutil.Process, word: str) -> psutil.Process:
    """The first process below `up` that was started with this word."""
    return next(child for child in up.children(recursive=True) if word in child.cmdline())


def test_it_answers_each_client_by_its_own_adapter_through_one_engine(site, up):
    answers = {name: site.patient_chat(site.key(name)) for name in ("triage", "billing")}
    for name, answer in answers.items():
        assert answer.headers["X-Plethora-Digest"] == site.seed["adapters"][name]["digest"]
    texts = {answer.json()["choices"][0]["message"]["content"] for answer in answers.values()}
    bare = site.chat(site.seed["token"], model="tiny").json()["choices"][0]["message"]["content"]
    assert len(texts | {bare}) == 3
    engines = site.api("GET", "/serving")["results"]
    assert [(e["base"], e["base_loads"], len(e["loaded"]), e["problems"]) for e in engines] == [
        ("tiny@1", 1, 2, [])
    ]


def test_the_playground_shows_what_each_would_answer(site, up):
    """By the very engine that answers clients: the same words, side by side, and the bare base's beside them."""
    person = signed_in(site, *new_person(site, "viewer", "viewer"))
    triage, billing, bare = told(person, "health/triage@1", "health/billing", base="tiny@1", max_tokens=6)
    for name, lines in (("triage", triage), ("billing", billing)):
        said = site.chat(site.key(name)).json()
        assert text_of(lines) == said["choices"][0]["message"]["content"]
        assert lines[-1]["done"]["tokens"] == said["usage"]["completion_tokens"]
        assert lines[-1]["done"]["digest"] == site.seed["adapters"][name]["digest"]
    assert text_of(bare) == site.chat(site.seed["token"], model="tiny").json()["choices"][0]["message"]["content"]
    assert len({text_of(lines) for lines in (triage, billing, bare)}) == 3
    person.close()


def test_a_second_one_says_who_holds_the_home(site, up):
    again = site.run("up")
    assert again.returncode != 0
    assert f"process {up.pid}" in again.stderr
    assert "PLETHORA_HOME" in again.stderr


def test_one_in_another_home_says_which_port_is_taken(site, up, tmp_path):
    other = {**site.env, "PLETHORA_HOME": str(tmp_path)}
    refused = subprocess.run([*MANAGE, "up"], env=other, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode != 0
    assert f"port {site.port}" in refused.stderr
    assert "PLETHORA_PORT" in refused.stderr


@pytest.mark.parametrize("word", ["serving.engine", "serve", "gateway", "worker", "web"])
def test_it_recovers_from_a_killed(site, up, word):
    site.patient_chat(site.key("triage"))
    victim = below(up, word)
    victim.kill()
    assert eventually(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
    assert site.patient_chat(site.key("triage")).status_code == 200
    site.wait_for(site.port, site.serving_port)
    assert eventually(lambda: any(word in c.cmdline() and c.pid != victim.pid for c in _children(up)), 20)


def test_it_leaves_nothing_when_it_is_killed_itself(site, up):
    left = _children(up)
    assert len(left) >= 6
    os.kill(up.pid, signal.SIGKILL)
    assert eventually(lambda: not any(_lives(process) for process in left), 20)
    assert not site.answers(site.port)
    assert not site.answers(site.serving_port)


def test_it_starts_again_after_a_kill_and_ends_all_at_a_signal(site):
    with (site.home / "up.log").open("ab") as log:
        child = subprocess.Popen([*MANAGE, "up"], env=site.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    site.wait_for(site.port, site.serving_port)
    assert site.patient_chat(site.key("billing")).status_code == 200
    children = _children(psutil.Process(child.pid))
    begun = time.monotonic()
    child.terminate()
    assert child.wait(40) == 0
    assert not any(_lives(process) for process in children)
    assert time.monotonic() - begun < 20
    assert "Plethora has ended." in (site.home / "up.log").read_text()


def _children(up: psutil.Process) -> list[psutil.Process]:
    found = []
    for process in up.children(recursive=True):
        try:
            process.cmdline()
        except psutil.Error:
            continue
        found.append(process)
    return found


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
