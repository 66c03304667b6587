"""What `serve` starts its engine with: which base, in which numbers, and with what in its reach."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import CommandError

from config.management.commands.serve import _base, _engine
from config.supervisor import Backoff, Child, Service
from registry.choices import BaseStatus
from registry.models import BaseModel, BaseVersion
from serving.engine.__main__ import parse
from tests.config.waiting import eventually
from tests.make import make_base_version

OPTIONS = {"device": "cpu", "threads": 3}
TELL = "import json, os; print(json.dumps(dict(os.environ)))"


def engine(dtype: str = "float32") -> Service:
    base = BaseVersion(base_model=BaseModel(name="llama"), number=1, dtype=dtype)
    return _engine(base, Path("/made"), 4321, OPTIONS)


def environment(service: Service, home: Path) -> dict[str, str]:
    """What a process that the service starts finds in its environment."""
    told = Child(replace(service, argv=[sys.executable, "-c", TELL]), home, Backoff())
    for place in (told.log, told.pid_file):
        place.parent.mkdir(parents=True)
    told.start()
    assert eventually(lambda: told.tail().endswith("}"))
    told.stop()
    found: dict[str, str] = json.loads(told.tail(1))
    return found


@pytest.mark.parametrize("stored", ["torch.bfloat16", "bfloat16", "float16", "float32"])
def test_it_serves_a_base_in_the_numbers_it_is_stored_in(stored: str) -> None:
    options = parse(list(engine(stored).argv[3:]))
    assert options.dtype == stored.removeprefix("torch.")


@pytest.mark.parametrize("stored", ["", "float64", "torch.float8_e4m3fn"])
def test_it_serves_in_single_precision_what_the_engine_has_no_numbers_for(stored: str) -> None:
    assert parse(list(engine(stored).argv[3:])).dtype == "float32"


def test_it_tells_the_engine_its_base_port_and_threads() -> None:
    options = parse(list(engine().argv[3:]))
    assert (options.base, options.base_name, options.port, options.threads) == ("/made", "llama@1", 4321, 3)


def test_it_keeps_passwords_tokens_and_keys_from_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PLETHORA_SECRET_KEY", "PLETHORA_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hidden")
    found = environment(engine(), tmp_path)
    assert "PLETHORA_HOME" in os.environ  # since before the settings were read, unlike what was set here
    assert "hidden" not in found.values()
    assert not [name for name in found if name.startswith(("PLETHORA_", "DJANGO_", "AWS_"))]


def test_it_gives_the_engine_what_torch_needs(tmp_path: Path) -> None:
    found = environment(engine(), tmp_path)
    assert found["PATH"] == os.environ["PATH"]
    assert (found["OMP_NUM_THREADS"], found["HF_HUB_OFFLINE"]) == ("3", "1")


@pytest.mark.parametrize("status", [BaseStatus.DRAFT, BaseStatus.RETIRED])
def test_it_refuses_a_base_that_is_not_served(db: None, status: str) -> None:
    base = make_base_version("llama", status=status)
    with pytest.raises(CommandError, match=rf"{base.address} is {status}; only an active"):
        _base(base.address)


def test_it_refuses_a_base_that_does_not_exist(db: None) -> None:
    with pytest.raises(CommandError, match="no base version llama@7; write NAME@N"):
        _base("llama@7")
