"""From an update's files to what it makes stale, by the real job: exactly what matters, with what has changed."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from registry.access import SYSTEM
from registry.models import BaseModel
from registry.selectors import staleness
from registry.services import aliases, base_models
from tests.make import make_base_version, make_version
from tests.serving.engine.make import make_model


@pytest.fixture
def ingest(world, run):
    base = BaseModel.objects.get_or_create(name="stories")[0]

    def made(source):
        version = base_models.add_version(by=SYSTEM, base=base, source=source)
        assert run(version.job).error is None
        version.refresh_from_db()
        return version

    return made


def with_template(folder):
    config = folder / "tokenizer_config.json"
    told = json.loads(config.read_text())
    template = folder / "chat_template.jinja"
    if template.exists():
        template.write_text(template.read_text().replace("assistant:", "answer:"))
    else:
        config.write_text(json.dumps({**told, "chat_template": told["chat_template"] + " "}))


def with_weights(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] *= 1.5
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def with_tokenizer(folder):
    """Two words of the same length in each other's place: the shapes stay."""
    told = json.loads((folder / "tokenizer.json").read_text())
    words = told["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (folder / "tokenizer.json").write_text(json.dumps(told))


def with_a_layer_more(folder):
    config = make_model().config
    config.num_hidden_layers = 3
    LlamaForCausalLM(config).save_pretrained(folder)


@pytest.fixture
def bases(settings, tmp_path, tiny, ingest):
    """`bases()`: the tiny base, ingested and active; `bases(change)`: an update of it."""
    root = tmp_path / "bases"
    root.mkdir()
    settings.BASE_ROOTS = [root.resolve()]

    def made(change=None):
        folder = root / (change.__name__ if change else "first")
        shutil.copytree(tiny[0], folder)
        if change:
            change(folder)
        return base_models.activate(by=SYSTEM, version=ingest(folder.as_uri()))

    return made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_template, "template"),
        (with_weights, "weights"),
        (with_tokenizer, "tokenizer"),
        (with_a_layer_more, "shape"),
    ],
)
def test_an_update_makes_stale_what_matters_and_says_what_changed(world, bases, change, said):
    first = bases()
    make_version(world.health, base=first)  # nothing reaches it
    old = make_version(world.health, base=first)
    aliases.move(by=SYSTEM, adapter=old.adapter, name="production", version=old, reason="")
    second = bases(change)
    assert second.change == said
    (row,) = staleness.listing(world.by("alice"))
    assert row.version == old
    assert [(one.reason, one.change, one.since) for one in row.reasons] == [
        ("base_superseded", said, second.activated_at)
    ]
    new = make_version(world.health, base=second)
    aliases.move(by=SYSTEM, adapter=old.adapter, name="production", version=new, reason="")
    assert staleness.listing(world.by("alice")) == []


def test_stories_v2_flags_exactly_what_was_trained_on_v1(world, base, ingest, stories):
    old = make_version(world.health, base=base)
    make_version(world.health, "elsewhere", base=make_base_version("other"))
    second = base_models.activate(by=SYSTEM, version=ingest(stories("v2")))
    make_version(world.health, "coding", base=second)
    (row,) = staleness.listing(world.by("alice"))
    assert (row.version, row.reasons[0].reason, row.reasons[0].change) == (old, "base_superseded", "weights")
