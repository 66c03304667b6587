from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from django.utils import timezone
from safetensors.numpy import load_file

from registry.access import SYSTEM
from registry.models import Alias, BaseVersion, ServingInstance, ServingWish
from registry.services import version_states
from serving import reconciler as module
from serving.contract import EngineBusy, EngineClient
from serving.pulse import Pulse
from serving.reconciler import Reconciler
from serving.zero import materialise_zero
from tests.config.waiting import eventually
from tests.make import make_base_version, make_version
from tests.serving.played import Played, play

PROBE = {
    "prompt": [1, 2],
    "logprobs": {
        "adapter": {"ids": [1, 2], "values": [-0.1, -3.0]},
        "base": {"ids": [2, 1], "values": [-0.2, -2.0]},
    },
}


@pytest.fixture
def played(world, store) -> Iterator[Played]:
    make_base_version("tiny")
    engine, end = play("tiny@1")
    engine.logprobs[""] = {1: -2.0, 2: -0.2}
    yield engine
    end()


@pytest.fixture
def keeper(played, tmp_path) -> Iterator[Reconciler]:
    with closing(EngineClient(played.url)) as engine:
        yield Reconciler(base=tiny(), engine=engine, cache=tmp_path / "adapters")


def tiny():
    return BaseVersion.objects.get(base_model__name="tiny")


def produced(world, name="triage", **fields):
    """A version that `production` names."""
    version = make_version(world.health, name, base=tiny(), **fields)
    Alias.objects.update_or_create(adapter=version.adapter, name="production", defaults={"version": version})
    return version


def reported() -> ServingInstance:
    return ServingInstance.objects.get()


def test_it_loads_what_production_names_under_an_immutable_name(keeper, played, world):
    version = produced(world)
    keeper.step()
    assert list(played.adapters) == [f"health/triage@1-{version.manifest_sha256[:12]}"]
    assert reported().loaded == [
        {"version": version.pk, "address": "health/triage@1", "digest": version.manifest_sha256}
    ]
    assert (reported().engine, reported().base_loads) == ("played", 1)


def test_it_loads_only_versions_of_its_own_base(keeper, played, world):
    other = make_base_version("tiny")
    version = make_version(world.health, "later", base=other)
    Alias.objects.create(adapter=version.adapter, name="production", version=version)
    keeper.step()
    assert played.adapters == {}


def test_it_loads_what_a_token_asked_for_lately(keeper, played, world):
    version = make_version(world.health, "wished", base=keeper.base)
    ServingWish.objects.create(version=version, asked_at=timezone.now())
    keeper.step()
    assert len(played.adapters) == 1


def test_a_bad_adapter_blocks_no_other(keeper, played, world):
    played.refuse.add("bad")
    bad, good = produced(world, "bad"), produced(world, "good")
    keeper.step()
    assert [entry["version"] for entry in reported().loaded] == [good.pk]
    assert [(p["version"], "another shape" in p["message"]) for p in reported().problems] == [(bad.pk, True)]


def test_a_bad_adapter_is_tried_again_later_and_later(keeper, played, world):
    played.refuse.add("bad")
    produced(world, "bad")
    keeper.step()
    keeper.step()
    problem = next(iter(keeper._problems.values()))
    assert problem.times == 1


def test_it_probes_each_load(keeper, played, world):
    played.logprobs["triage"] = {1: -0.1, 2: -3.0}
    produced(world, probe=PROBE)
    keeper.step()
    assert len(reported().loaded) == 1


def test_it_refuses_an_adapter_without_effect(keeper, played, world):
    played.no_effect.add("triage")
    produced(world, probe=PROBE)
    keeper.step()
    assert reported().loaded == []
    assert "no effect" in reported().problems[0]["message"]
    assert played.adapters == {}


def test_it_refuses_an_adapter_that_answers_otherwise_than_after_training(keeper, played, world):
    played.logprobs["triage"] = {1: -0.8, 2: -2.0}
    produced(world, probe=PROBE)
    keeper.step()
    assert "after training" in reported().problems[0]["message"]


def test_it_loads_all_again_after_a_restart(keeper, played, world):
    produced(world)
    keeper.step()
    played.restart()
    keeper.step()
    assert len(played.adapters) == len(reported().loaded) == 1


def test_it_unloads_after_a_grace_and_says_so_first(keeper, played, world, monkeypatch):
    version = produced(world)
    keeper.step()
    newer = make_version(world.health, "triage", base=keeper.base)
    Alias.objects.filter(adapter=version.adapter).update(version=newer)
    keeper.step()
    assert len(played.adapters) == 2
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0)
    keeper.step()
    assert [entry["address"] for entry in reported().loaded] == ["health/triage@2"]
    assert [name.split("-")[0] for name in played.adapters] == ["health/triage@2"]


def test_it_drops_what_is_quarantined(keeper, played, world, monkeypatch):
    version = produced(world)
    keeper.step()
    assert len(played.adapters) == 1
    version_states.quarantine(by=SYSTEM, version=version, reason="its bytes are damaged")
    monkeypatch.setattr(module, "DRAIN_SECONDS", 0)
    keeper.step()
    assert (reported().loaded, played.adapters) == ([], {})


def test_it_reports_nothing_loaded_while_the_engine_is_away(keeper, world, played):
    produced(world)
    keeper.step()
    with closing(EngineClient("http://127.0.0.1:9")) as nobody:
        keeper.engine = nobody
        keeper.step()
    assert ServingInstance.objects.get(url="http://127.0.0.1:9").loaded == []


def test_it_refuses_bytes_that_are_not_the_versions(keeper, played, world, store):
    version = produced(world)
    digest = version.manifest.files["adapter_model.safetensors"]["sha256"]
    path = store / "artifacts" / "sha256" / digest[:2] / digest
    path.write_bytes(b"x" * path.stat().st_size)
    keeper.step()
    assert "hash to" in reported().problems[0]["message"]
    assert played.adapters == {}


def test_it_goes_when_it_leaves(keeper, world):
    keeper.step()
    keeper.leave()
    assert not ServingInstance.objects.exists()


def test_it_keeps_what_is_loaded_when_one_probe_finds_the_engine_busy(keeper, played, world, monkeypatch):
    good = produced(world, "good")
    keeper.step()
    produced(world, "late", probe=PROBE)
    monkeypatch.setattr(keeper.engine, "next_token", raise_busy)
    keeper.step()
    assert [entry["version"] for entry in reported().loaded] == [good.pk]
    assert reported().problems == []  # it passes: told only when it doesn't


def raise_busy(*_):
    raise EngineBusy("429")


def test_a_busy_load_is_not_a_refusal(played):
    with closing(EngineClient("http://127.0.0.1:9")) as nobody, pytest.raises(EngineBusy):
        nobody.next_token("tiny@1", [1])


def test_it_ticks_from_another_thread_while_a_load_takes_long():
    beats = []
    pulse = Pulse(lambda: beats.append(1) or 1 / 0, seconds=0.01)
    pulse.start()
    assert eventually(lambda: len(beats) > 2, 5)
    pulse.stop()


def test_it_loads_a_zero_adapter_into_an_engine_that_is_not_ours(played, world, tmp_path):
    with closing(EngineClient(played.url)) as engine:
        keeper = Reconciler(base=tiny(), engine=engine, cache=tmp_path, dtype="", foreign=True)
        version = produced(world, probe=PROBE)
        played.logprobs["triage"] = {1: -0.1, 2: -3.0}
        keeper.step()
        keeper.step()
    assert sorted(name.split("-")[0] for name in played.adapters) == ["health/triage@1", "tiny@1"]
    assert {each["model"] for each in played.asked} == {
        "tiny@1-zero",
        next(n for n in played.adapters if "/" in n),
    }
    assert [entry["version"] for entry in reported().loaded] == [version.pk]


def test_the_zero_adapter_is_one_of_zeros(world, store, tmp_path):
    folder = materialise_zero(make_base_version("tiny"), tmp_path)
    tensors = load_file(folder / "adapter_model.safetensors")
    assert sorted(name.split(".")[-2] for name in tensors) == ["lora_A", "lora_B"]
    assert not next(value for name, value in tensors.items() if "lora_B" in name).any()
