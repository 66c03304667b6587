"""A small installation in `PLETHORA_HOME`, made by the services: a tiny base, adapters, clients with keys.

    python -m tests.serving.seed '{"adapters": ["triage", "billing"], "real": true}'

prints what it made as JSON. Another process than the test's, since processes under test share its database file.
With `real` the bytes are a model's; without, a few letters do, for engines that are played.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import django


def main(wish: dict[str, Any]) -> dict[str, Any]:
    from django.core.management import call_command

    from registry.services import accounts

    call_command("migrate", verbosity=0)
    made = accounts.bootstrap(email="alice@example.org", team="health", name="Health")
    base, folder = make_base(wish.get("base", "tiny"), real=wish.get("real", False))
    told = {"team": "health", "token": made.token, "base": base.address, "adapters": {}, "clients": {}}
    for seed, name in enumerate(wish.get("adapters", ["triage"]), start=1):
        version = make_version(made.team, name, base, folder, seed)
        told["adapters"][name] = {"address": version.address, "digest": version.manifest_sha256, "id": version.pk}
        told["clients"][name] = make_client(made, name, version)
    for seed, name in enumerate(wish.get("second", []), start=100):
        make_version(made.team, name, base, folder, seed, alias=False)
    return told


def make_base(name: str, *, real: bool) -> tuple[Any, Path | None]:
    from tests import make

    if not real:
        return make.make_base_version(name), None
    from tests.serving.engine.make import save_base

    folder = save_base(Path(tempfile.mkdtemp()))
    return make.make_base_version(name, manifest=make.make_manifest(contents(folder))), folder


def make_version(team: Any, name: str, base: Any, folder: Path | None, seed: int, *, alias: bool = True) -> Any:
    """A ready version; with `alias` it is the one that `production` names."""
    from django.utils import timezone

    from registry.models import Alias, AliasHistory
    from tests import make

    fields: dict[str, Any] = {}
    if folder is not None:
        from tests.serving.engine.make import save_adapter

        saved = save_adapter(Path(tempfile.mkdtemp()), seed=seed)
        fields = {"manifest": make.make_manifest(contents(saved)), "probe": probe(folder, saved)}
    version = make.make_version(team, name, base=base, **fields)
    if alias:
        named = Alias.objects.create(adapter=version.adapter, name="production", version=version)
        AliasHistory.objects.create(alias=named, version=version, valid_from=timezone.now(), actor="test")
    return version


def make_client(made: Any, name: str, version: Any) -> dict[str, str]:
    from registry.access import Caller
    from registry.models import Alias
    from registry.services import assignments, clients

    by = Caller(user=made.user)
    client = clients.create(by=by, team=made.team, name=f"{name}-client", vertical="healthcare")
    key, text = clients.mint_key(by=by, client=client, name="test", expires_at=None)
    target = assignments.Target(
        version.adapter, alias=Alias.objects.get(adapter=version.adapter, name="production")
    )
    assignments.assign(by=by, client=client, slot="default", target=target, reason="test")
    return {"address": client.address, "key": text, "key_id": str(key.pk)}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.suffix != ".md"}


def probe(base: Path, adapter: Path) -> dict[str, Any]:
    """As training stores it; computed by transformers and PEFT."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    prompt = [5, 6, 7, 8]
    model = AutoModelForCausalLM.from_pretrained(base)
    tuned = PeftModel.from_pretrained(model, str(adapter))

    def top() -> dict[str, list[Any]]:
        with torch.no_grad():
            values, ids = tuned(torch.tensor([prompt])).logits[0, -1].log_softmax(-1).topk(5)
        return {"ids": ids.tolist(), "values": [round(value, 6) for value in values.tolist()]}

    told = {"adapter": top()}
    with tuned.disable_adapter():
        told["base"] = top()
    return {"prompt": prompt, "logprobs": told}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))) + "\n")
