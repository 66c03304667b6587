"""What the first page says needs attention."""

from __future__ import annotations

import pytest

from registry.access import SYSTEM
from registry.services import scrubbing, version_states
from registry.storage import artifact_key, store
from tests.make import make_version

pytestmark = pytest.mark.usefixtures("store")


def text(pages, name):
    return pages(name).get("/").content.decode()


def test_it_names_quarantined_versions_to_their_team(pages, world):
    version = make_version(world.health)
    version_states.quarantine(by=SYSTEM, version=version, reason="odd answers")
    assert "Quarantined, served to nobody" in text(pages, "bob")
    assert "Quarantined" not in text(pages, "charlie")


def test_it_tells_administrators_of_damaged_bytes(pages, world):
    version = make_version(world.health)
    store().delete(artifact_key(version.manifest.files["adapter_model.safetensors"]["sha256"]))
    scrubbing.scrub(most_bytes=10**9)
    assert "1 stored file is damaged or missing" in " ".join(text(pages, "admin").replace("</strong>", "").split())
    assert "damaged or missing" not in text(pages, "alice")
