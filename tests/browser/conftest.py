"""A real web process over a seeded home, and a page that tolerates no console error and no foreign request."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe

from config.homes import free_port
from tests import oidc
from tests.config.waiting import ROOT, eventually
from tests.template import copy_into

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-smooth-scrolling",
    "--in-process-gpu", "--no-first-run", "--no-default-browser-check",
]  # fmt: skip

LOOKS = "https://cdn.jsdelivr.net/npm/@picocss/pico@2/css/pico.min.css"  # of the OIDC provider's page


@dataclass
class Site:
    url: str
    home: Path
    env: dict[str, str]
    seed: dict[str, Any]
    issuer: str

    def tell(self, code: str) -> None:
        """Run `code` as the site's own Django: another process than the test's has another database."""
        setup = "import django; django.setup()\n"
        subprocess.run([sys.executable, "-c", setup + code], env=self.env, check=True, timeout=60)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    if CHROMIUM is None:
        message = "NO CHROMIUM: the browser tests did not run. Install it: apt-get install chromium"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(f"{'*' * 20} {message} {'*' * 20}")
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": FLAGS}


@pytest.fixture(scope="session")
def issuer() -> Iterator[str]:
    with oidc.provider() as address:
        yield address


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, issuer: str) -> Iterator[Site]:
    """`manage.py web` in a home of its own, which lets people in by an OIDC provider too."""
    home, port = tmp_path_factory.mktemp("site"), free_port()
    env = {
        **os.environ,
        "PLETHORA_HOME": str(home),
        "PLETHORA_PORT": str(port),
        "PLETHORA_SERVING_PORT": str(free_port()),  # nobody is there, unless a test starts a gateway
        "PLETHORA_WEB_WORKERS": "1",
        "PLETHORA_OIDC_ISSUER": issuer,
        "PLETHORA_OIDC_CLIENT_ID": "plethora",
        "PLETHORA_OIDC_CLIENT_SECRET": "s",
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONWARNINGS": "ignore",
    }
    copy_into(home)
    command = [sys.executable, "-m", "tests.browser.seed"]
    made = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    seed = json.loads(made.stdout.splitlines()[-1])
    with (home / "web.log").open("wb") as log:
        web = subprocess.Popen(
            [sys.executable, "manage.py", "web"], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log
        )
    url = f"http://127.0.0.1:{port}"
    try:
        assert eventually(lambda: _answers(url), 40), (home / "web.log").read_text()
        yield Site(url, home, env, seed, issuer)
    finally:
        web.communicate(timeout=20)  # closes its stdin, at which it ends


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).is_success
    except httpx.TransportError:
        time.sleep(0.1)
        return False


@pytest.fixture(scope="session")
def signed_in(browser: Any, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cookies of Alice, who signed in through the page once."""
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    sign_in(page, site)
    kept = tmp_path_factory.mktemp("cookies") / "alice.json"
    context.storage_state(path=kept)
    context.close()
    return kept


def sign_in(page: Any, site: Site) -> None:
    page.goto("/")
    give_password(page, site, site.seed["email"])
    page.wait_for_url(f"{site.url}/")


def give_password(page: Any, site: Site, email: str) -> None:
    """Everybody of the seed has the same."""
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(site.seed["password"])
    page.get_by_role("button", name="Sign in", exact=True).click()


def looks_finished(page: Any) -> None:
    """Axe finds nothing in light and in dark, and nothing makes a phone scroll sideways."""
    # The theme is CSS alone: in the dark, colours are all that can be wrong, and the page need not load again.
    page.evaluate(Axe().axe_script)
    for scheme, rules in (("light", {}), ("dark", {"runOnly": ["color-contrast"]})):
        page.emulate_media(color_scheme=scheme)
        # What passes is not described: with it axe would take twice as long.
        found = AxeResults(page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules}))
        assert found.violations_count == 0, found.generate_report()
    before = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{page.url} scrolls sideways by {overflow} px"
    page.set_viewport_size(before)


def strict(page: Any, site: Site) -> list[str]:
    """The list that fills with what must not happen."""
    faults: list[str] = []
    page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    own = (site.url, site.issuer, "data:", LOOKS)
    page.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
    return faults


@pytest.fixture
def visitor(browser: Any, site: Site) -> Iterator[Callable[[], Any]]:
    """Pages of people who aren't signed in yet, each in a browser of its own; as strict as `page`."""
    contexts, faults = [], []

    def come() -> Any:
        contexts.append(browser.new_context(base_url=site.url))
        made = contexts[-1].new_page()
        made.route(LOOKS, lambda route: route.fulfill(body=""))
        faults.append(strict(made, site))
        return made

    yield come
    for context in contexts:
        context.close()
    assert [one for one in faults if one] == []


@pytest.fixture(scope="session")
def alices(browser: Any, site: Site, signed_in: Path) -> Iterator[Any]:
    """Her browser, where each test has a page of its own: a new one would fetch and compile everything again."""
    context = browser.new_context(base_url=site.url, storage_state=signed_in)
    yield context
    context.close()


@pytest.fixture
def page(alices: Any, site: Site) -> Iterator[Any]:
    """Alice's; fails on console errors and on any request that leaves the site."""
    made = alices.new_page()
    faults = strict(made, site)
    yield made
    made.close()
    assert faults == []
