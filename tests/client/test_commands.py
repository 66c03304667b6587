"""The forms of commands that the pages and the docs tell people to paste, against a real server."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.usefixtures("jobs")


@pytest.fixture
def stamp():
    """A name that no other test of the session used."""
    return datetime.now(UTC).strftime("n%H%M%S%f")


@pytest.fixture
def rows(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "one", "completion": "two"}\n')
    return str(file)


def test_it_submits_a_job_that_the_flags_describe(plethora, jobs):
    words = ["health/triage", "--dataset", "health/notes@1", "--rank", "2", "--steps", "3", "--preset", "quick"]
    planned = plethora("job", "submit", *words, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    recipe = json.loads(planned.stdout)["recipe"]
    assert (recipe["rank"], recipe["steps"], recipe["preset"]) == (2, 3, "quick")


def test_it_lets_a_flag_win_over_the_file(plethora, jobs, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("adapter: health/triage\ndataset: health/notes@1\nrecipe: {rank: 4, steps: 9}\n")
    planned = plethora("job", "submit", "-f", str(file), "--rank", "2", "--dry-run", "--json")
    recipe = json.loads(planned.stdout)["recipe"]
    assert (recipe["rank"], recipe["steps"]) == (2, 9)


@pytest.mark.parametrize("words", [(), ("health/triage",), ("health/triage@1", "--dataset", "health/notes@1")])
def test_it_refuses_a_job_that_lacks_something(plethora, words):
    refused = plethora("job", "submit", *words)
    assert (refused.returncode, refused.stdout) == (2, "")


@pytest.mark.parametrize("address", ["health/triage", "health/triage@1", "health/triage@production"])
def test_it_pulls_a_version_into_a_folder_of_its_name(plethora, tmp_path, address):
    pulled = plethora("adapter", "pull", address, cwd=tmp_path)
    assert (pulled.returncode, pulled.stdout) == (0, "triage-v1\n"), pulled.stderr
    assert [path.name for path in (tmp_path / "triage-v1").iterdir()]


def test_it_pulls_the_highest_ready_version_where_nothing_is_production(plethora, tmp_path):
    pulled = plethora("adapter", "pull", "health/unaliased", str(tmp_path / "out"), "--json")
    assert json.loads(pulled.stdout)["address"] == "health/unaliased@1", pulled.stderr


def test_it_says_that_an_adapter_has_no_version(plethora, site, stamp):
    words = ("--vertical", "legal", "--base", "tiny")
    assert plethora("adapter", "create", f"health/{stamp}", *words).returncode == 0
    refused = plethora("adapter", "pull", f"health/{stamp}")
    assert refused.returncode == 1
    assert "no version" in refused.stderr


def test_it_pushes_a_folder_for_the_current_base(plethora, tmp_path):
    assert plethora("adapter", "pull", "health/triage@1", str(tmp_path / "out")).returncode == 0
    pushed = plethora("adapter", "push", "health/imported", str(tmp_path / "out"), "--no-wait", "--json")
    assert pushed.returncode == 0, pushed.stderr
    assert json.loads(pushed.stdout)["base"]["version"] == 1


def test_it_makes_the_dataset_that_it_pushes_to(plethora, site, rows, stamp):
    pushed = plethora("dataset", "push", f"health/{stamp}", rows, "--vertical", "legal", "--no-wait", "--json")
    assert json.loads(pushed.stdout)["number"] == 1, pushed.stderr
    assert site.api("GET", f"/datasets/health/{stamp}")["vertical"] == "legal"
    again = plethora("dataset", "push", f"health/{stamp}", rows, "--vertical", "retail", "--no-wait")
    assert f"health/{stamp} is for legal, and stays so." in again.stderr


def test_it_gives_up_waiting_for_a_validation(plethora, rows, stamp):
    pushed = plethora("dataset", "push", f"health/{stamp}", rows, "--timeout", "0.1")
    assert (pushed.returncode, pushed.stdout) == (6, "")
    assert f"Validating health/{stamp}@1" in pushed.stderr


def test_it_assigns_what_follows_production(plethora, site, stamp):
    assert plethora("client", "create", f"health/{stamp}").returncode == 0
    done = plethora("client", "assign", f"health/{stamp}", "health/triage", "--reason", "the first", "--json")
    assert json.loads(done.stdout)["alias"] == "production", done.stderr


@pytest.mark.parametrize("words", [("health/triage@1",), ("health/triage", "--version", "1")])
def test_it_assigns_a_pinned_version(plethora, stamp, words):
    plethora("client", "create", f"health/{stamp}")
    done = plethora("client", "assign", f"health/{stamp}", *words, "--slot", "night", "--json")
    assert (json.loads(done.stdout)["version"], json.loads(done.stdout)["slot"]) == (1, "night")


def test_it_refuses_an_alias_and_a_version(plethora):
    words = ("health/triage-client", "health/triage", "--alias", "production", "--version", "1")
    assert plethora("client", "assign", *words).returncode == 2


def test_it_prints_a_key_and_nothing_else(plethora, stamp):
    plethora("client", "create", f"health/{stamp}")
    made = plethora("client", "key", f"health/{stamp}")
    assert made.stdout.startswith("plc_")
    assert len(made.stdout.splitlines()) == 1


def test_it_promotes_a_version(plethora):
    done = plethora("adapter", "promote", "health/unaliased@1", "--alias", "candidate", "--json")
    assert json.loads(done.stdout)["version"] == 1, done.stderr
    assert plethora("adapter", "promote", "health/unaliased").returncode == 2


def test_it_registers_a_base_model_that_is_new(plethora, site, stamp, tmp_path):
    base = site.home / "bases" / stamp
    base.mkdir(parents=True)
    made = plethora("base", "register", stamp, str(base), "--reference", "--no-wait", "--json")
    assert json.loads(made.stdout)["status"] == "ingesting", made.stderr


def test_it_activates_a_base_version(plethora):
    assert plethora("base", "activate", "tiny").returncode == 2
    refused = plethora("base", "activate", "tiny@99")
    assert refused.returncode == 1
    assert "tiny@99" in refused.stderr


def test_it_plans_for_each_base_model_that_something_is_stale_on(plethora, site):
    planned = plethora("retrain", "--stale", "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert [plan["base_model"] for plan in json.loads(planned.stdout)] == ["moved"]
    assert site.api("GET", "/campaigns")["results"] == []


def test_it_shows_a_client_with_what_answers_it(plethora, stamp):
    plethora("client", "create", f"health/{stamp}")
    plethora("client", "assign", f"health/{stamp}", "health/triage@1", "--until", "2100-01-01T00:00:00Z")
    shown = json.loads(plethora("client", "show", f"health/{stamp}", "--json").stdout)
    assert (shown["assignments"][0]["version"], shown["assignments"][0]["valid_to"][:4]) == (1, "2100")


def test_it_moves_clients_together_and_back(plethora, stamp):
    plethora("client", "create", f"health/{stamp}")
    words = ("client", "bulk", "health", "health/triage", "--client", f"health/{stamp}", "--json")
    planned = plethora(*words, "--dry-run")
    assert json.loads(planned.stdout)["counts"]["moves"] == 1, planned.stderr
    made = plethora(*words, "--reason", "all of them")
    assert "plethora client undo" in made.stderr, made.stderr
    undone = plethora("client", "undo", json.loads(made.stdout)["id"], "--json")
    assert json.loads(undone.stdout)["moves"][0]["to"] is None, undone.stderr


def test_it_takes_a_client_back_to_a_date(plethora, stamp):
    plethora("client", "create", f"health/{stamp}")
    plethora("client", "assign", f"health/{stamp}", "health/triage")
    words = ("2020-01-01T00:00:00Z", "--client", f"health/{stamp}", "--dry-run", "--json")
    told = plethora("client", "restore", "health", *words)
    (row,) = json.loads(told.stdout)["moves"]
    assert (row["outcome"], row["reason"]) == ("stays", "it had nothing then"), told.stderr


def test_it_freezes_and_lifts(plethora):
    begun = plethora("freeze", "begin", "health", "--until", "2100-01-01T00:00:00Z", "--reason", "audit", "--json")
    made = json.loads(begun.stdout)
    refused = plethora("adapter", "promote", "health/triage@1", "--alias", "other")
    assert (refused.returncode, "audit" in refused.stderr) == (1, True)
    assert made["id"] in plethora("freeze", "list").stdout
    assert plethora("freeze", "lift", made["id"]).returncode == 0
    assert plethora("freeze", "list", "--json").stdout == "[]\n"


def test_it_places_and_lifts_a_legal_hold(plethora):
    made = json.loads(plethora("audit", "hold", "place", "health", "--reason", "case 7", "--json").stdout)
    assert "case 7" in plethora("audit", "hold", "list").stdout
    assert plethora("audit", "hold", "lift", made["id"], "--reason", "settled & over").returncode == 0
    (row,) = json.loads(plethora("audit", "hold", "list", "--json").stdout)
    assert row["lifted_at"] is not None


def test_it_makes_closes_and_reopens_an_account(plethora, stamp):
    email = f"a/{stamp}@example.org"
    made = plethora("user", "create", email)
    assert (made.returncode, len(made.stdout.strip())) == (0, 24), made.stderr
    for act, active in (("close", False), ("reopen", True), ("sign-out", True)):
        assert json.loads(plethora("user", act, email, "--json").stdout)["active"] is active
    assert email in plethora("user", "list", "-q", stamp).stdout
    assert email not in plethora("user", "list", "-q", "nobody").stdout
    assert plethora("user", "close", "nobody@example.org").returncode == 1


def test_it_tells_an_address_of_events_and_sends_them_again(plethora, site, stamp):
    made = plethora("webhook", "create", "health", f"https://{stamp}.example/in", "--event", "assignment.*")
    assert made.stdout.startswith("whsec_"), made.stderr
    hook = made.stderr.split()[1].rstrip(";")
    site.api("POST", "/clients", {"team": "health", "name": stamp})
    assigned = plethora("client", "assign", f"health/{stamp}", "health/triage", "--reason", "r")
    assert assigned.returncode == 0, assigned.stderr
    sent = json.loads(plethora("webhook", "deliveries", hook, "--state", "pending", "--json").stdout)
    assert [one["event"] for one in sent] == ["assignment.set"]
    for words in (("--delivery", sent[0]["id"]), ("--from", "2020-01-01")):
        assert json.loads(plethora("webhook", "replay", hook, *words, "--json").stdout)["replayed"] == 1
    assert plethora("webhook", "replay", hook).returncode == 1
    assert stamp in plethora("webhook", "list", "--team", "health").stdout
    assert plethora("webhook", "delete", hook).returncode == 0
    assert stamp not in plethora("webhook", "list").stdout
