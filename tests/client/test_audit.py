"""Exports from the command line: written by a real server, verified without any."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def exported(plethora, tmp_path):
    file = tmp_path / "audit.ndjson"
    done = plethora("audit", "export", "-o", str(file), "--json")
    assert json.loads(done.stdout) == {"file": str(file)}, done.stderr
    return file


@pytest.fixture
def key(plethora):
    return plethora("audit", "keys").stdout.split()[0]


def test_it_verifies_with_the_key_and_no_account(exported, key, signed_out):
    done = signed_out("audit", "verify", str(exported), "--key", key, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] > 5


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_it_takes_a_file_of_keys(plethora, exported, signed_out, tmp_path, as_json):
    keys = tmp_path / "keys"
    keys.write_text(plethora("audit", "keys", *as_json).stdout)
    assert signed_out("audit", "verify", str(exported), "--key", str(keys)).returncode == 0


def test_it_verifies_a_table_too(plethora, signed_out, key, tmp_path):
    file = tmp_path / "audit.csv"
    assert plethora("audit", "export", "--format", "csv", "-o", str(file)).returncode == 0
    assert signed_out("audit", "verify", str(file), "--key", key).returncode == 0


def test_it_names_the_first_line_that_does_not_hold(exported, key, signed_out):
    lines = exported.read_text().splitlines()
    lines[2] = lines[2].replace('"actor":"', '"actor":"x')
    exported.write_text("\n".join(lines))
    done = signed_out("audit", "verify", str(exported), "--key", key)
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 3" in done.stderr


@pytest.mark.parametrize("words", [(), ("--key", "nonsense")])
def test_it_wants_a_key(exported, signed_out, words):
    assert signed_out("audit", "verify", str(exported), *words).returncode == 2


def test_it_wants_a_file_and_a_known_format(plethora, key):
    assert plethora("audit", "verify", "nowhere.ndjson", "--key", key).returncode == 2
    assert plethora("audit", "export", "--format", "xml").returncode == 2


def test_it_writes_to_stdout_where_no_file_is_named(plethora):
    done = plethora("audit", "export", "--to", "2001-01-01")
    assert [json.loads(line)["kind"] for line in done.stdout.splitlines()] == ["header", "manifest"], done.stderr


def test_an_administrator_may_have_everything(plethora):
    done = plethora("audit", "export", "--everything")
    assert '"everything":true' in done.stdout.splitlines()[0], done.stderr
