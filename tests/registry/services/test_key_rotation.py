"""Keys are rotated by putting a new one in front: what the former one signed, sealed and let in holds."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client import proofs
from registry.models import AuditHead
from registry.selectors import credentials, routing
from registry.services import audit, audit_exports, clients

OLD, NEW = ("k1", b"1" * 32), ("k2", b"2" * 32)


@pytest.fixture(autouse=True)
def _by_the_old_key(settings):
    settings.AUDIT_KEYS = [OLD]


def happened(world, name):
    """One more event, sealed under a head signed with the first key."""
    clients.create(by=world.by("alice"), team=world.health, name=name, vertical="")
    audit.seal()
    return audit.sign_head()


@pytest.fixture
def rotated(world, store, settings, tmp_path):
    """A head and an export by the old key, then a head by the new one, which stands in front."""
    assert happened(world, "before").key_id == "k1"
    exported(world, tmp_path / "old.ndjson")
    settings.AUDIT_KEYS = [NEW, OLD]
    assert happened(world, "after").key_id == "k2"
    return world


def exported(world, path):
    path.write_text("".join(f"{line}\n" for line in audit_exports.export(by=world.by("alice"))))
    return path


def public(key):
    raw = Ed25519PrivateKey.from_private_bytes(key[1]).public_key().public_bytes_raw()
    return {key[0]: base64.b64encode(raw).decode()}


def test_what_the_former_key_signed_still_holds(rotated):
    assert list(AuditHead.objects.order_by("position").values_list("key_id", flat=True)) == ["k1", "k2"]
    verdict = audit.verify()
    assert (verdict.ok, verdict.problem) == (True, "")


def test_both_public_keys_are_told(rotated, api):
    told = api("alice").get("/api/v1/audit/keys").json()["results"]
    assert {key["id"]: key["public_key"] for key in told} == public(NEW) | public(OLD)


def test_exports_of_before_and_after_prove_themselves(rotated, tmp_path):
    assert proofs.verify(tmp_path / "old.ndjson", public(OLD))["key_id"] == "k1"
    new = exported(rotated, tmp_path / "new.ndjson")
    found = proofs.verify(new, public(OLD) | public(NEW))
    assert (found["key_id"], found["covered_by_head"] is not None) == ("k2", True)
    assert {line["key_id"] for line in map(json.loads, new.read_text().splitlines()) if "key_id" in line} == {
        "k1",
        "k2",
    }


def test_an_export_names_the_key_that_was_not_given(rotated, tmp_path):
    new = exported(rotated, tmp_path / "new.ndjson")
    with pytest.raises(proofs.Broken, match="k1"):
        proofs.verify(new, public(NEW))


def test_a_key_that_was_taken_away_is_named(rotated, settings):
    settings.AUDIT_KEYS = [NEW]
    verdict = audit.verify()
    first = AuditHead.objects.get(key_id="k1")
    assert (verdict.ok, verdict.first_bad_seq) == (False, first.position)
    assert "k1" in verdict.problem
    assert "PLETHORA_AUDIT_KEYS" in verdict.problem
    settings.AUDIT_KEYS = [NEW, OLD]
    assert audit.verify().ok


def test_another_key_of_the_same_id_is_no_key_that_is_missing(rotated, settings):
    settings.AUDIT_KEYS = [NEW, ("k1", b"9" * 32)]
    assert audit.verify().problem == "a signed head says otherwise"


def test_no_credential_hangs_on_a_key_of_the_installation(rotated, settings):
    """Tokens and client keys are kept as an id and a hash, without pepper."""
    client = clients.create(by=rotated.by("alice"), team=rotated.health, name="st-olaf", vertical="")
    key = clients.mint_key(by=rotated.by("alice"), client=client, name="k", expires_at=None)[1]
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS, settings.AUDIT_KEYS = "n" * 60, [], [NEW]
    assert credentials.api_token(rotated.tokens["alice"]).owner == rotated.alice
    assert routing.client_key(key).address == "health/st-olaf"
