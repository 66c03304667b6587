"""A new job in a browser: the estimate follows what is typed, one job comes of it, what is shown can be pasted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Site, give_password, looks_finished

pytestmark = pytest.mark.browser

ASKED = {"adapter": "atelier/discharge-notes", "dataset": "atelier/healthcare-notes@1", "rank": "4", "steps": "20"}
# Quotes of every kind, an accent, and a text that YAML might take for a date.
ODD = [{"name": "polite", "kind": "contains", "value": 'it\'s "très" $HOME `x`\n2026-05-04'}]
WHOLE = {
    **ASKED, "preset": "legal", "targets": "q_proj, v_proj", "rank_pattern": "q_proj = 8", "packing": "no",
    "learning_rate": "0.00003", "gate": "loss <= production by 0.01\nchecks.polite >= 0.5",
    "checks": json.dumps(ODD), "base_version": "llama-3-8b@1", "evaluation_dataset": "atelier/retail-notes@1",
    "priority": "-3", "promote_to": "candidate", "deadline": "2999-05-04T12:00",
}  # fmt: skip
TOLD = ("adapter", "dataset", "base", "recipe", "evaluation", "gate", "promote_to", "priority", "deadline")
MINT = """
from pathlib import Path
from registry.access import Caller
from registry.models import Team, User
from registry.services import tokens
by, team = Caller(user=User.objects.get(email="alice@example.org")), Team.objects.get(slug="atelier")
made = tokens.mint(by=by, team=team, name="pasted", scopes=["read", "train", "publish"], expires_at=None)
Path({path!r}).write_text(made[1])
"""
STRICT = 'curl() { command curl --fail-with-body --silent --show-error "$@"; }; set -e\n'
VIEWER = """
from registry.models import Membership, Team, User
user = User.objects.create_user("vera@example.org", {password!r})
Membership.objects.create(team=Team.objects.get(slug="atelier"), user=user, role="viewer")
"""


@pytest.fixture(scope="module")
def bearer(site: Site) -> Iterator[str]:
    """A token of Alice's, as she would mint one for a pipeline."""
    path = site.home / "pasted"
    site.tell(MINT.format(path=str(path)))
    yield path.read_text()
    path.unlink()


@pytest.fixture
def paste(page: Any, site: Site, bearer: str, tmp_path: Path, read: Any) -> Callable[[str], dict[str, Any]]:
    """What a shell makes of the text, and the job that came of it; a file is called as its first line says."""

    def pasted(kind: str) -> dict[str, Any]:
        if kind == "curl" and shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        text = page.locator(f"#text-{kind}").text_content()
        if kind == "yaml":
            (tmp_path / "job.yaml").write_text(text)
            text = text.splitlines()[0].removeprefix("# ")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(tmp_path), "PLETHORA_URL": site.url, "PLETHORA_TOKEN": bearer}
        words = ["bash", "-c", STRICT + text]
        done = subprocess.run(
            words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, (text, done.stdout, done.stderr)
        made: dict[str, Any] = read()
        return made

    return pasted


@pytest.fixture
def read(site: Site, bearer: str) -> Callable[[], dict[str, Any]]:
    """The newest training job, as the API tells it."""

    def newest() -> dict[str, Any]:
        url = f"{site.url}/api/v1/training-jobs?limit=200"
        rows: list[dict[str, Any]] = httpx.get(url, headers={"Authorization": f"Bearer {bearer}"}).json()[
            "results"
        ]
        return max(rows, key=lambda row: int(row["id"]))

    return newest


def test_the_estimate_follows_what_is_typed(page: Any, site: Site) -> None:
    page.goto("/jobs/new")
    page.get_by_label("Adapter").fill(ASKED["adapter"])
    estimate = page.locator("#estimate")
    expect(estimate).to_contain_text("Still needed: dataset.")
    page.get_by_label("Dataset", exact=True).fill(ASKED["dataset"])
    expect(estimate).to_contain_text("parameters")
    expect(page.locator("#told-preset")).to_have_text("healthcare")
    page.get_by_label("Rank", exact=True).fill("8")
    expect(estimate).to_contain_text("1,024 parameters")
    page.get_by_label("Rank", exact=True).fill("many")
    expect(page.locator("#told-rank")).to_contain_text("must be a whole number")
    expect(page.get_by_label("Rank", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Rank", exact=True)).to_be_focused()
    looks_finished(page)


def test_a_fault_unfolds_its_field(page: Any, site: Site) -> None:
    page.goto(f"/jobs/new?{urlencode(ASKED)}")
    warmup = page.get_by_label("Warm-up steps")
    page.get_by_text("Optimiser").click()
    warmup.fill("30")
    page.get_by_text("Optimiser").click()
    expect(warmup).to_be_visible()
    expect(page.locator("#told-warmup_steps")).to_contain_text("must be below steps 20")


def test_what_is_unfolded_stays_so_while_the_estimate_changes(page: Any, site: Site) -> None:
    page.goto(f"/jobs/new?{urlencode(ASKED)}")
    page.get_by_text("As YAML").click()
    page.get_by_label("Steps", exact=True).fill("33")
    expect(page.locator("#text-yaml")).to_contain_text("steps: 33")
    expect(page.locator("#text-yaml")).to_be_visible()


def test_it_is_tried_and_then_queued(page: Any, site: Site) -> None:
    page.goto("/jobs/new")
    page.get_by_role("button", name="Dry run").click()
    expect(page.locator("#told-adapter")).to_contain_text("Choose an adapter")
    page.goto(f"/jobs/new?{urlencode(ASKED)}")
    page.get_by_role("button", name="Submit").dblclick()
    page.wait_for_url(re.compile(r"/jobs/\d+$"))
    assert page.get_by_text("Queued as job").count() <= 1
    page.get_by_role("link", name="Clone").click()
    expect(page.get_by_label("Rank", exact=True)).to_have_value("4")
    looks_finished(page)


def test_it_works_without_scripts(browser: Any, site: Site, signed_in: Path) -> None:
    context = browser.new_context(base_url=site.url, storage_state=signed_in, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/jobs/new?{urlencode({**ASKED, 'rank': '0'})}")
    page.get_by_role("button", name="Dry run").click()
    assert "must be a whole number" in page.locator("#told-rank").inner_text()
    page.get_by_label("Rank", exact=True).fill("2")
    page.get_by_role("button", name="Dry run").click()
    assert "256 parameters" in page.locator("#estimate").inner_text()
    page.get_by_role("button", name="Submit").click()
    assert page.get_by_text("Queued as job").is_visible()
    context.close()


def test_the_same_form_sent_at_once_is_one_job(page: Any, site: Site, read: Any) -> None:
    page.goto(f"/jobs/new?{urlencode({**ASKED, 'seed': '77'})}")
    form = page.locator("#job input, #job select, #job textarea")
    sent = form.evaluate_all("all => Object.fromEntries(all.map(one => [one.name, one.value]))")
    cookies = {one["name"]: one["value"] for one in page.context.cookies()}
    headers = {"Referer": f"{site.url}/jobs/new"}
    before = read()["id"]

    def send(_: int) -> str:
        answer = httpx.post(f"{site.url}/jobs/new", data=sent, cookies=cookies, headers=headers, timeout=30)
        return answer.headers["Location"]

    with ThreadPoolExecutor(4) as pool:
        places = set(pool.map(send, range(4)))
    assert len(places) == 1
    made = read()["id"]
    assert places == {f"/jobs/{made}"}
    assert int(made) == int(before) + 1


def test_a_viewer_is_told_who_may_train(visitor: Any, site: Site) -> None:
    site.tell(VIEWER.format(password=site.seed["password"]))
    page = visitor()
    page.goto("/jobs/new")
    give_password(page, site, "vera@example.org")
    expect(page.get_by_role("heading", name="Who may train")).to_be_visible()
    assert page.get_by_role("button", name="Submit").count() == 0
    looks_finished(page)


@pytest.mark.parametrize("kind", ["cli", "curl", "yaml"])
@pytest.mark.parametrize("asked", [ASKED, WHOLE], ids=["short", "whole"])
def test_what_is_shown_can_be_pasted(asked: dict[str, str], kind: str, page: Any, paste: Any, read: Any) -> None:
    page.goto(f"/jobs/new?{urlencode(asked)}")
    pasted = paste(kind)
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/jobs/\d+$"))
    queued = read()
    assert int(queued["id"]) == int(pasted["id"]) + 1
    assert {name: queued[name] for name in TOLD} == {name: pasted[name] for name in TOLD}
    assert queued["recipe"]["rank"] == 4


@pytest.mark.parametrize("kind", ["cli", "curl"])
def test_what_is_shown_makes_a_new_adapter_first(kind: str, page: Any, paste: Any) -> None:
    new = {"adapter": f"atelier/by-{kind}", "base_version": "llama-3-8b@2", "vertical": "retail"}
    page.goto(f"/jobs/new?{urlencode({**ASKED, **new})}")
    made = paste(kind)
    assert (made["adapter"], made["recipe"]["preset"]) == (f"atelier/by-{kind}", "retail")
