"""The playground with real web and gateway processes: who answers, what is told meanwhile, what is left of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from registry.dashboard.answers import MOST_RUNS
from tests.config.waiting import eventually
from tests.serving.sessions import asked, form, new_person, signed_in, text_of, told, web

MARK = "aubergine-9317"  # in no other text


@pytest.fixture(autouse=True)
def _healthy(engine, site):
    engine.faults.clear()


@pytest.fixture(scope="module")
def viewer(site):
    """The least that a team knows."""
    person = signed_in(site, *new_person(site, "looker", "viewer"))
    yield person
    person.close()


def test_each_version_and_the_bare_base_answer_side_by_side(site, viewer):
    columns = told(viewer, "health/triage@1", "health/billing", base="tiny@1")
    names = ("health/triage@1", "health/billing@1", "tiny@1")
    assert all(name in text_of(lines) for name, lines in zip(names, columns, strict=True))
    done = [lines[-1]["done"] for lines in columns]
    assert [one["address"] for one in done] == list(names)
    digests = [site.seed["adapters"][name]["digest"] for name in ("triage", "billing")]
    assert [one["digest"] for one in done[:2]] == digests
    assert all(0 < one["first"] <= one["total"] < 10 and one["tokens"] == 4 for one in done)


def test_what_is_asked_reaches_the_engine_as_it_was_typed(viewer, engine):
    told(viewer, "health/triage@1", prompt="  two\nlines ", system="be brief", seed=7, temperature="0.5")
    sent = engine.asked[-1]
    assert [one["content"] for one in sent["messages"]] == ["be brief", "  two\nlines "]
    assert (sent["seed"], sent["temperature"], sent["max_tokens"]) == (7, 0.5, 8)


def test_a_version_that_no_engine_holds_yet_is_waited_for(viewer):
    (lines,) = told(viewer, "health/billing@2")
    assert "loads it now" in lines[0]["waiting"]
    assert lines[-1]["done"]["address"] == "health/billing@2"


def test_what_the_engine_refuses_is_said(viewer):
    (lines,) = told(viewer, "health/broken@1")
    assert "another shape" in lines[-1]["error"]


def test_it_counts_for_the_team_itself_and_for_no_client(site, viewer, engine):
    before = len(site.receipts("health/billing-client"))
    told(viewer, "health/billing@1")
    assert engine.asked[-1]["client"] == "health/internal"
    booked = ("health/billing@1", "playground")
    receipts = lambda: site.receipts("health/internal")  # noqa: E731
    assert eventually(lambda: booked in [(f"{r['adapter']}@{r['version']}", r["slot"]) for r in receipts()], 3)
    assert len(site.receipts("health/billing-client")) == before


def test_nothing_of_a_prompt_or_an_answer_is_kept(site, viewer):
    told(viewer, "health/triage@1", prompt=f"say {MARK}", system=MARK)
    files = [path for path in site.home.rglob("*") if path.is_file()]
    assert len(files) > 5
    kept = {path: path.read_bytes() for path in files}
    assert [path for path, held in kept.items() if MARK.encode() in held or b"You asked" in held] == []


def test_hanging_up_frees_the_engine(viewer, engine):
    before, engine.faults[:] = engine.hung_up, ["slow"]
    with asked(viewer, "health/triage@1") as answer:
        next(answer.iter_lines())
    assert eventually(lambda: engine.hung_up > before, 5)


def test_pages_are_answered_while_runs_are_at_it_and_one_too_many_is_told(site, viewer, engine):
    engine.faults[:] = ["slow"] * MOST_RUNS
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(told, viewer, "health/triage@1") for _ in range(MOST_RUNS)]
        assert eventually(lambda: not engine.faults, 5)
        pages = [pool.submit(viewer.get, "/playground") for _ in range(4)]
        assert [page.result(5).status_code for page in pages] == [200] * 4
        with asked(viewer, "health/triage@1") as refused:
            assert refused.status_code == 503
            assert "ask again" in refused.read().decode()
        assert all(lines[-1]["done"] for run in runs for lines in run.result(20))


def test_a_closed_account_asks_no_more(site):
    email, password = new_person(site, "leaver", "viewer")
    person = signed_in(site, email, password)
    sent = form(person, version="health/triage@1", prompt="p", max_tokens=4, temperature=0)
    assert person.post("/playground/answers", **sent).status_code == 200
    site.api("PATCH", f"/users/{email}", {"active": False})
    assert eventually(lambda: person.post("/playground/answers", **sent).status_code == 302, 2)


def test_a_stranger_is_sent_to_the_sign_in(site):
    with httpx.Client(base_url=web(site)) as nobody:
        assert nobody.post("/playground/answers", **form(nobody, prompt="p")).status_code == 302
