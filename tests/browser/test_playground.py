"""One prompt, asked from a comparison: the answers come side by side, by a real gateway and a played engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from registry.dashboard.answers import MOST_RUNS
from serving.schemas import engine_name
from tests.browser.conftest import Site, looks_finished
from tests.config.waiting import ROOT, eventually
from tests.serving.played import Played, play

BASE = "llama-3-8b@1"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def engine(site: Site) -> Iterator[Played]:
    """It is where the seed's engine of the first base says to be, behind a gateway."""
    played, stop = play(BASE)
    known = "from registry.models import ServingInstance as S; "
    site.tell(known + f"S.objects.filter(base_version__number=1).update(url={played.url!r})")
    with (site.home / "gateway.log").open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, "manage.py", "gateway"],
            cwd=ROOT, env=site.env, stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{site.env['PLETHORA_SERVING_PORT']}/readyz"
    assert eventually(lambda: _engines(url) > 0, 40), (site.home / "gateway.log").read_text()
    yield played
    gateway.communicate(timeout=20)  # closes its stdin, at which it ends
    stop()


def _engines(url: str) -> int:
    try:
        return int(httpx.get(url, timeout=2).json()["engines"])
    except (httpx.TransportError, ValueError, KeyError):
        return 0


def _load(engine: Played, page: Any) -> list[str]:
    """The engine holds what the seed says that it holds."""
    rows = page.request.get("/api/v1/serving").json()["results"]
    loaded = next(row["loaded"] for row in rows if row["base"] == BASE)
    engine.adapters.update({engine_name(one["address"], one["digest"]): "seeded" for one in loaded})
    return [one["address"] for one in loaded]


def test_versions_and_the_base_answer_side_by_side(page: Any, site: Site, engine: Played) -> None:
    first, second = _load(engine, page)[:2]
    page.goto(f"/playground?version={first}&version={second}&base={BASE}")
    page.get_by_label("Prompt").fill("Write one line.")
    page.get_by_role("button", name="Ask 3").click()
    for at, address in enumerate((first, second, BASE)):
        expect(page.locator(f"[data-column='{at}'] [data-text]")).to_contain_text(f"You asked {address}")
    expect(page.get_by_text("3 of 3 answered")).to_be_visible()
    assert all("ms" in text for text in page.locator("[data-value=first]").all_inner_texts())
    assert "Write" not in page.url
    looks_finished(page)


def test_another_choice_keeps_what_was_typed(page: Any, site: Site, engine: Played) -> None:
    first, second = _load(engine, page)[:2]
    page.goto(f"/playground?version={first}")
    page.get_by_label("Prompt").fill("Write one line.")
    page.get_by_label("Max tokens").fill("7")
    page.get_by_label("Version 2").fill(second)
    page.get_by_role("button", name="Choose").click()
    expect(page.get_by_role("button", name="Ask 2")).to_be_visible()
    expect(page.get_by_label("Prompt")).to_have_value("Write one line.")
    expect(page.get_by_label("Max tokens")).to_have_value("7")
    page.goto(f"/playground?version={first}")
    expect(page.get_by_label("Prompt")).to_have_value("")  # nothing stays beyond that


def test_a_run_can_be_stopped(page: Any, site: Site, engine: Played) -> None:
    (first, *_), before = _load(engine, page), engine.hung_up
    page.goto(f"/playground?version={first}")
    engine.faults[:] = ["slow"]
    page.get_by_label("Prompt").fill("p")
    page.get_by_label("Prompt").press("Control+Enter")
    expect(page.locator("[data-text]")).to_contain_text("You")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
    assert eventually(lambda: engine.hung_up > before, 5)


def test_it_waits_for_its_turn(alices: Any, site: Site, engine: Played) -> None:
    pages = [alices.new_page() for _ in range(MOST_RUNS + 1)]  # the last may have a refusal in its console
    first = _load(engine, pages[0])[0]
    for page in pages:
        page.goto(f"/playground?version={first}")
        page.get_by_label("Prompt").fill("p")
    engine.faults[:] = ["slow"] * MOST_RUNS
    for page in pages:
        page.get_by_role("button", name="Ask 1").click()
    expect(pages[-1].get_by_text("waits for its turn")).to_be_visible()
    for page in pages:
        expect(page.get_by_text("1 of 1 answered")).to_be_visible(timeout=15_000)
        page.close()


def test_it_says_what_is_wrong_at_the_form(alices: Any, site: Site, engine: Played) -> None:
    page = alices.new_page()  # one that may have a refusal in its console
    page.goto(f"/playground?base={BASE}")
    page.get_by_label("Prompt").fill("p")
    page.get_by_label("Max tokens").evaluate("field => field.removeAttribute('max')")
    page.get_by_label("Max tokens").fill("100000")
    page.get_by_role("button", name="Ask 1").click()
    expect(page.get_by_role("alert")).to_contain_text("Max tokens: Ensure this value is less than")
    expect(page.get_by_label("Max tokens")).to_be_focused()
    page.close()


def test_comparing_leads_to_both(page: Any, site: Site) -> None:
    page.goto(f"/adapters/{site.seed['adapter']}/compare?left=2&right=3")
    page.get_by_role("link", name="Same prompt to both").click()
    expect(page.get_by_label("Version 1")).to_have_value(f"{site.seed['adapter']}@2")
    expect(page.get_by_label("Version 2")).to_have_value(f"{site.seed['adapter']}@3")
