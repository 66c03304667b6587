"""`plethora` as CI and people call it: exit codes, where its settings come from, what goes to which stream."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
from rich.console import Console
from typer.main import get_command

from client import output
from client.cli import app
from tests.config.waiting import ROOT


def test_it_says_who_one_is(site, plethora):
    shown = plethora("whoami", "--json")
    assert shown.returncode == 0
    assert json.loads(shown.stdout)["team"] == "health"


def test_it_says_which_version_it_is(signed_out):
    shown = signed_out("--version")
    assert (shown.returncode, shown.stdout) == (0, f"plethora {version('plethora')}\n")


def test_it_keeps_a_login_in_a_file_only_the_owner_reads(site, signed_out, tmp_path):
    url = f"http://127.0.0.1:{site.port}"
    done = signed_out("login", "--url", url, "--token", site.seed["token"])
    assert done.returncode == 0
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert signed_out("whoami").returncode == 0


def test_it_asks_for_a_sign_in(site, signed_out):
    refused = signed_out("whoami", PLETHORA_URL=f"http://127.0.0.1:{site.port}")
    assert refused.returncode == 4
    assert "plethora login" in refused.stderr
    assert refused.stdout == ""


def test_it_keeps_no_token_that_nobody_knows(site, signed_out, tmp_path):
    refused = signed_out("login", "--url", f"http://127.0.0.1:{site.port}", "--token", "plt_0_wrong")
    assert refused.returncode == 4
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_it_takes_a_flag_before_the_environment_before_the_file(site, signed_out):
    url, token = f"http://127.0.0.1:{site.port}", site.seed["token"]
    assert signed_out("login", "--url", url, "--token", token).returncode == 0
    assert signed_out("whoami", PLETHORA_TOKEN="plt_0_wrong").returncode == 4
    assert signed_out("whoami", "--token", token, PLETHORA_TOKEN="plt_0_wrong").returncode == 0


@pytest.mark.parametrize(
    ("job", "code"), [("passed", 0), ("ungated", 0), ("failed", 3), ("cancelled", 5), ("unmet", 7)]
)
def test_it_exits_with_the_status_of_a_watched_job(plethora, jobs, job, code):
    watched = plethora("job", "watch", jobs[job], "--exit-status", "--json")
    assert watched.returncode == code, watched.stderr
    assert json.loads(watched.stdout)["id"] == jobs[job]


def test_it_exits_with_0_where_the_status_was_not_asked_for(plethora, jobs):
    assert plethora("job", "watch", jobs["failed"]).returncode == 0


def test_it_gives_up_waiting(plethora, jobs):
    watched = plethora("job", "watch", jobs["queued"], "--exit-status", "--timeout", "0.5")
    assert watched.returncode == 6
    assert "queued" in watched.stderr


@pytest.mark.parametrize(("job", "code"), [("passed", 0), ("unmet", 7), ("failed", 3), ("cancelled", 5)])
def test_it_exits_with_the_verdict_of_a_gate(plethora, jobs, job, code):
    assert plethora("job", "gate", jobs[job]).returncode == code


def test_it_says_each_rule_of_a_gate(plethora, jobs):
    verdict = json.loads(plethora("job", "gate", jobs["unmet"], "--json").stdout)
    assert [rule["metric"] for rule in verdict["rules"]] == ["loss"]
    assert not verdict["passed"]


def test_it_names_the_field_that_is_wrong(plethora, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("adapter: health/triage\ndataset: health/notes@99\n")
    refused = plethora("job", "submit", "-f", str(file))
    assert refused.returncode == 1
    assert "notes@99" in refused.stderr


@pytest.mark.parametrize("text", ["- one\n- two\n", "a: [", ""])
def test_it_refuses_a_file_that_is_no_job(plethora, tmp_path, text):
    file = tmp_path / "job.yaml"
    file.write_text(text)
    assert plethora("job", "submit", "-f", str(file)).returncode == 2


@pytest.mark.parametrize("words", [("job", "watch"), ("nonsense",), ("job", "submit", "-f", "missing.yaml")])
def test_it_explains_its_usage(plethora, words):
    assert plethora(*words).returncode == 2


def test_it_prints_an_empty_list_as_json(plethora):
    shown = plethora("lineage", "stale", "--base-model", "tiny", "--json")
    assert (shown.returncode, json.loads(shown.stdout)) == (0, [])


def test_it_says_which_adapter_a_client_had(site, plethora):
    now = datetime.now(UTC).isoformat()
    shown = plethora("audit", "at", now, "health/triage-client", "--json")
    (version,) = json.loads(shown.stdout)["versions"]
    assert version["manifest_sha256"] == site.seed["adapters"]["triage"]["digest"]


def test_it_cuts_no_digest_in_a_pipe(site, plethora):
    """What a narrow terminal folds is whole and on its own line for whoever reads it from a pipe."""
    shown = plethora("audit", "at", datetime.now(UTC).isoformat(), "health/triage-client", COLUMNS="40")
    _, row = shown.stdout.splitlines()
    assert row.split() == ["health/triage@1", "100", site.seed["adapters"]["triage"]["digest"]]


def test_it_folds_a_table_in_a_terminal(monkeypatch):
    monkeypatch.setattr(output, "out", Console(force_terminal=True, width=20, soft_wrap=True))
    with output.out.capture() as shown:
        output.data([], as_json=False, table=output.rows([{"digest": "e" * 64}], "digest"))
    assert shown.get().count("e" * 20) == 3
    assert "…" not in shown.get()


def test_it_says_which_clients_had_a_version(site, plethora):
    shown = plethora("lineage", "clients", "health/triage@1", "--from", "2026-01-01", "--json")
    (row,) = json.loads(shown.stdout)
    assert (row["client"], row["percent"], row["valid_to"]) == ("health/triage-client", 100, None)
    assert plethora("lineage", "clients", "health/triage").returncode == 2


def test_it_refuses_what_is_no_date(plethora):
    assert plethora("audit", "at", "yesterday", "health/triage-client").returncode == 2


def test_it_exits_with_1_where_nothing_is_found(plethora):
    assert plethora("audit", "at", "2026-01-01", "health/nobody").returncode == 1


def test_it_exits_with_1_where_nobody_answers(plethora):
    refused = plethora("whoami", "--url", "http://127.0.0.1:1")
    assert refused.returncode == 1
    assert "http://127.0.0.1:1" in refused.stderr


@pytest.mark.parametrize("words", [("job", "list"), ("base", "list"), ("adapter", "list"), ("client", "list")])
def test_it_prints_data_on_stdout_and_nothing_beside(plethora, words):
    shown = plethora(*words, "--json")
    assert isinstance(json.loads(shown.stdout), list)
    assert shown.stderr == ""


def test_it_exits_with_4_where_a_token_may_not(site, plethora):
    made = site.api("POST", "/tokens", {"team": "health", "name": "reader", "scopes": ["read"]})
    refused = plethora("client", "create", "health/never", PLETHORA_TOKEN=made["token"])
    assert (refused.returncode, refused.stdout) == (4, "")


def every_command(group, *before):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, *before, name)
        else:
            yield pytest.param(command, id=" ".join((*before, name)))


@pytest.mark.parametrize("command", every_command(get_command(app)))
def test_it_takes_json_everywhere(command):
    assert "--json" in {word for option in command.params for word in option.opts}


@pytest.mark.parametrize("quiet", [{"NO_COLOR": "1"}, {}])
def test_it_colours_a_terminal_unless_it_is_told_not_to(quiet):
    told = on_a_terminal("whoami", **quiet)
    assert "not signed in" in told
    assert ("\x1b[31m" in told) is not bool(quiet)


def test_it_shows_no_spinner_in_ci(site, jobs):
    env = {"PLETHORA_URL": f"http://127.0.0.1:{site.port}", "PLETHORA_TOKEN": site.seed["token"], "CI": "true"}
    told = on_a_terminal("job", "watch", jobs["passed"], **env)
    assert "Watching job" in told
    assert "\x1b[?25l" not in told  # the cursor that a progress bar hides


def on_a_terminal(*words: str, **env: str) -> str:
    """What a person sees whose stderr is a terminal."""
    ours, theirs = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "NO_COLOR")}
    own = {**clean, "PYTHONPATH": str(ROOT), "TERM": "xterm", "XDG_CONFIG_HOME": "/nowhere", **env}
    command = [sys.executable, "-m", "client", *words]
    process = subprocess.Popen(command, env=own, stdout=subprocess.DEVNULL, stderr=theirs)
    process.wait(timeout=60)
    os.close(theirs)
    told = os.read(ours, 65536).decode()
    os.close(ours)
    return told


def test_it_prints_no_colour_and_no_spinner_on_a_pipe(plethora, jobs):
    watched = plethora("job", "watch", jobs["passed"])
    assert "\x1b" not in watched.stdout + watched.stderr


# Tests that run in the background of a shell ignore SIGINT, and so does what they start until it says otherwise.
HEEDING = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("client", run_name="__main__")
"""


def test_it_detaches_at_ctrl_c(site, jobs, tmp_path):
    command = [sys.executable, "-c", HEEDING, "job", "watch", jobs["queued"]]
    url = f"http://127.0.0.1:{site.port}"
    env = {**site.env, "PLETHORA_URL": url, "PLETHORA_TOKEN": site.seed["token"], "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "Ctrl-C detaches" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert "goes on" in process.communicate(timeout=20)[1]
    assert site.api("GET", f"/training-jobs/{jobs['queued']}")["state"] == "queued"
