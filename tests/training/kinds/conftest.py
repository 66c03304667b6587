"""Jobs run here by the real runner with a real child, in the test's own transaction."""

from __future__ import annotations

from typing import Any

import pytest

from registry.access import SYSTEM
from registry.models import BaseVersion, Job
from registry.services import artifacts, base_models
from training import runner
from training.kinds import ingest_base
from training.pulse import Pulse


class StillPulse(Pulse):
    """No thread: another connection would wait for the transaction that every test runs in."""

    def __enter__(self) -> Pulse:
        return self

    def __exit__(self, *args: object) -> None:
        return None


@pytest.fixture
def run(store, settings, tmp_path, monkeypatch, django_capture_on_commit_callbacks) -> Any:
    """`run(job)` brings a job to its end; returns the row."""
    settings.HOME = tmp_path / "home"
    monkeypatch.setattr(runner, "Pulse", StillPulse)

    def to_the_end(job: Job) -> Job:
        with django_capture_on_commit_callbacks(execute=True):
            runner.run(job.pk)
        job.refresh_from_db()
        return job

    return to_the_end


@pytest.fixture
def stories(shared, settings) -> Any:
    """`stories("v1")`: the source of a real base model."""
    folder = shared / "base-models"
    settings.BASE_ROOTS = [folder.resolve()]
    return lambda name: (folder / f"stories260k-{name}").resolve().as_uri()


class Silent:
    """A channel that nobody listens to."""

    def emit(self, event: str, **fields: Any) -> None:
        return None

    def check_cancelled(self) -> None:
        return None


@pytest.fixture(scope="session")
def inspected(shared) -> dict[str, Any]:
    """What the child says of the real base, asked for once."""
    from training.trainer.inspection import inspect

    return inspect({"base": str(shared / "base-models" / "stories260k-v1")}, Silent())


@pytest.fixture
def base(db, store, stories, shared, inspected) -> BaseVersion:
    """The real base model, ingested and active, without the wait for a child."""
    model = base_models.create(by=SYSTEM, name="stories")
    version = base_models.add_version(by=SYSTEM, base=model, source=stories("v1"))
    files = artifacts.upload_folder(shared / "base-models" / "stories260k-v1")
    base_models.ingested(version=version, files=files, facts=ingest_base._facts(inspected, files))
    return base_models.activate(by=SYSTEM, version=version)


@pytest.fixture(scope="session")
def peft_folder(shared: Any, tmp_path_factory: Any) -> Any:
    """An adapter made and saved by peft itself, with a B that is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(shared / "base-models" / "stories260k-v1")
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    folder = tmp_path_factory.mktemp("peft")
    wrapped.save_pretrained(folder)
    return folder
