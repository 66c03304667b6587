"""`manage.py sweep` and `manage.py scrub`."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from registry.services import artifacts
from tests.make import make_manifest

pytestmark = pytest.mark.usefixtures("db", "store")


def said(capsys, *words):
    call_command(*words)
    return json.loads(capsys.readouterr().out)


def test_it_sweeps_after_a_dry_run(capsys, tmp_path):
    (tmp_path / "loose").write_bytes(b"12345")
    artifacts.upload(tmp_path / "loose")
    for words in (("--dry-run",), ()):
        assert said(capsys, "sweep", "--grace=0", *words)["bytes"] == 5
    assert said(capsys, "sweep", "--grace=0")["bytes"] == 0


def test_it_scrubs(capsys):
    make_manifest({"a": b"a"})
    assert said(capsys, "scrub")["artifacts"] == 1


def test_it_refuses_a_grace_that_is_none():
    with pytest.raises(CommandError, match="seconds"):
        call_command("sweep", "--grace=-1")
