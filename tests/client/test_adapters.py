"""Protected aliases and comparisons, as CI meets them on the command line, against a real server."""

from __future__ import annotations

import json

import pytest

pytestmark = [pytest.mark.xdist_group("client"), pytest.mark.usefixtures("jobs")]
GUARDED = "/adapters/health/guarded/aliases/production"


@pytest.fixture
def protect(site, plethora):
    """`protect(**parts)`: what moving the alias takes; it stands on version 1."""
    site.api("PUT", GUARDED, {"version": 1})
    yield lambda **parts: site.api("PUT", f"{GUARDED}/protection", parts)
    site.api("PUT", f"{GUARDED}/protection", {"role": "", "gate": [], "approvals_required": 0})


def test_it_moves_a_protected_alias_from_where_it_is(plethora, protect):
    protect(role="maintainer")
    done = plethora("adapter", "promote", "health/guarded@2", "--json")
    assert (done.returncode, json.loads(done.stdout)["version"]) == (0, 2), done.stderr


def test_a_gate_that_is_not_met_has_an_exit_code(plethora, protect):
    protect(gate=[{"metric": "loss", "op": "<=", "value": 1}])
    refused = plethora("adapter", "promote", "health/guarded@2")
    assert (refused.returncode, refused.stdout) == (7, "")
    assert "Not measured on the test split: health/guarded@2" in refused.stderr


def test_it_names_the_approvals_that_are_missing(plethora, protect):
    protect(approvals_required=1)
    refused = plethora("adapter", "promote", "health/guarded@2")
    assert (refused.returncode, "takes 1 approval" in refused.stderr) == (1, True)


def test_it_compares_two_versions_of_two_adapters(plethora):
    done = plethora("adapter", "compare", "health/triage@1", "health/behind@1", "--json")
    found = json.loads(done.stdout)
    assert (found["left"]["address"], found["right"]["address"]) == ("health/triage@1", "health/behind@1")
    assert found["differences"]["base"]["right"] == {"model": "moved", "version": 1}


def test_it_shows_a_line_for_each_difference(plethora):
    done = plethora("adapter", "compare", "health/triage@1", "health/behind@1")
    assert done.returncode == 0, done.stderr
    assert "base_version address" in done.stdout
    assert "moved@1" in done.stdout
    assert plethora("adapter", "compare", "triage", "2").returncode == 2
