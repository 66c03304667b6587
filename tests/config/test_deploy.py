"""The installation of docs/operations.md, "Production in five lines", as Django and we check it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from tests.config.waiting import ROOT

PRODUCTION = {
    "DATABASE_URL": "postgresql://plethora:s3cret@db.internal/plethora",
    "CELERY_BROKER_URL": "redis://:s3cret@redis.internal/0",
    "PLETHORA_STORE": "s3://adapters/store",
    "PLETHORA_HTTPS": "1",
    "PLETHORA_ALLOWED_HOSTS": "plethora.example.org",
    "PLETHORA_DEVICES": "0",
    "PYTHONWARNINGS": "ignore",
}


def test_production_has_nothing_to_be_warned_of(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], **PRODUCTION, "PLETHORA_HOME": str(tmp_path)}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    found = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")
    assert "s3cret" not in found.stdout


GOOD = [("k2", b"2" * 32), ("k1", b"1" * 32)]


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("SECURE_SSL_REDIRECT", False, "security.W008"),
        ("SESSION_COOKIE_SECURE", False, "security.W012"),
        ("DEBUG", True, "security.W018"),
        ("SECRET_KEY", "short", "security.W009"),
        ("SECRET_KEY_FALLBACKS", ["short"], "security.W025"),
        ("AUDIT_KEYS", [("k1", b"hunter2")], "plethora.E001"),
        ("AUDIT_KEYS", [*GOOD, ("k1", b"hunter2" * 5)], "plethora.E001"),
        ("AUDIT_KEYS", [], "plethora.E001"),
        ("ALLOWED_HOSTS", ["*"], "plethora.W002"),
    ],
)
def test_it_warns_of_what_is_weak(settings: Any, setting: str, value: Any, said: str) -> None:
    settings.AUDIT_KEYS = GOOD
    setattr(settings, setting, value)
    found = run_checks(tags=["security"], include_deployment_checks=True)
    assert said in [message.id for message in found]
    assert "hunter2" not in str(found)


def test_two_good_audit_keys_are_fine(settings: Any) -> None:
    settings.AUDIT_KEYS = GOOD
    assert [message.id for message in run_checks(tags=["security"]) if message.id.startswith("plethora.")] == []
