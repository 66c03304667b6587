"""An export proves itself: to a verifier that has the public key, and nothing of another team."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from client import proofs
from registry.access import Caller
from registry.errors import Forbidden
from registry.models import ApiToken, AuditEvent
from registry.services import audit, audit_exports, clients


@pytest.fixture
def both(world, store):
    """Events of health and of finance in turn, the last ones after a signed head."""
    for number in range(4):
        for name, team in (("alice", world.health), ("charlie", world.finance)):
            clients.create(by=world.by(name), team=team, name=f"{name}-{number}", vertical="")
        if number == 2:
            audit.seal()
            audit.sign_head()
    return world


def lines(by, **asked):
    return list(audit_exports.export(by=by, **asked))


def verified(tmp_path, said, keys=None):
    path = tmp_path / "audit.ndjson"
    path.write_text("".join(f"{line}\n" for line in said))
    return proofs.verify(path, audit.public_keys() if keys is None else keys)


def of_kind(said, kind):
    return [line for line in map(json.loads, said) if line["kind"] == kind]


def test_it_holds_by_the_public_key_alone(both, tmp_path):
    found = verified(tmp_path, lines(both.by("alice")))
    assert found["ok"]
    assert found["events"] + found["links"] == found["last_seq"] - found["first_seq"] + 1
    assert found["covered_by_head"] is not None


def test_it_says_the_whole_event(both):
    said = next(
        line for line in of_kind(lines(both.by("alice")), "event") if line["event"]["action"] == "client.create"
    )
    assert said["event"]["object"] == "client:health/alice-0"
    assert said["event"]["actor"] == "alice@example.org"


def test_it_shows_nothing_of_another_team(both):
    said = lines(both.by("alice"))
    assert "charlie" not in "".join(said)
    assert "finance" not in "".join(said)
    assert len(of_kind(said, "link")) >= 3


def test_a_link_has_no_more_than_hashes(both):
    told = of_kind(lines(both.by("alice")), "link")[0]
    assert sorted(told) == ["content", "hash", "kind", "previous", "seq"]


def test_two_teams_see_one_chain(both):
    hashes = [
        {line["seq"]: line["hash"] for line in map(json.loads, lines(both.by(name))) if "seq" in line}
        for name in ("alice", "charlie")
    ]
    shared = hashes[0].keys() & hashes[1].keys()
    assert len(shared) > 5
    assert all(hashes[0][seq] == hashes[1][seq] for seq in shared)


def test_it_goes_on_to_the_head_that_covers_it(both):
    head = of_kind(lines(both.by("charlie")), "head")[0]
    last = of_kind(lines(both.by("alice")), "event")[2]["event"]["at"]
    told = lines(both.by("alice"), until=datetime.fromisoformat(last))
    assert of_kind(told, "manifest")[0]["last_seq"] == head["position"]


def test_an_administrator_may_have_everything(both, tmp_path):
    said = lines(both.by("admin"), everything=True)
    assert of_kind(said, "link") == []
    assert verified(tmp_path, said)["first_seq"] == 1
    assert "charlie-0" in "".join(said)


def test_nobody_else_may_have_everything(both):
    with pytest.raises(Forbidden):
        lines(both.by("alice"), everything=True)


def test_a_token_without_read_may_not(both):
    token = ApiToken.objects.get(name="of alice", owner=both.alice)
    ApiToken.objects.filter(pk=token.pk).update(scopes=["train"])
    token.refresh_from_db()
    with pytest.raises(Forbidden):
        lines(Caller(token=token))


def test_it_tells_of_nothing_where_nothing_was(both, tmp_path):
    said = lines(both.by("alice"), until=datetime(2001, 1, 1, tzinfo=UTC))
    assert verified(tmp_path, said)["events"] == 0


def test_it_is_itself_recorded(both):
    lines(both.by("alice"))
    assert AuditEvent.objects.order_by("pk").last().action == "audit.export"


def edited(said, number, change):
    line = json.loads(said[number])
    change(line)
    return [*said[:number], audit.canonical(line).decode(), *said[number + 1 :]]


def at_first(said, kind):
    return next(n for n, line in enumerate(said) if json.loads(line)["kind"] == kind)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("event", lambda line: line["event"].update(actor="mallory")),
        ("event", lambda line: line.update(blind="0" * 64)),
        ("event", lambda line: line.update(previous="1" * 64)),
        ("event", lambda line: line.update(seq=line["seq"] + 1)),
        ("link", lambda line: line.update(content="0" * 64)),
        ("link", lambda line: line.update(hash="0" * 64)),
        ("head", lambda line: line.update(signed_at="2001-01-01T00:00:00+00:00")),
        ("head", lambda line: line.update(position=1)),
        ("manifest", lambda line: line.update(count=line["count"] + 1)),
        ("manifest", lambda line: line.update(signature=line["signature"][::-1])),
        ("manifest", lambda line: line.update(note="added")),
    ],
)
def test_it_names_the_line_that_was_edited(both, tmp_path, kind, change):
    said = lines(both.by("alice"))
    number = at_first(said, kind)
    with pytest.raises(proofs.Broken) as broken:
        verified(tmp_path, edited(said, number, change))
    assert broken.value.line in (number + 1, number + 2)


@pytest.mark.parametrize("cut", [0, 1, 2, -1])
def test_it_misses_a_line_that_was_taken_out(both, tmp_path, cut):
    said = lines(both.by("alice"))
    del said[cut]
    with pytest.raises(proofs.Broken):
        verified(tmp_path, said)


def test_a_header_that_was_edited_is_no_longer_what_was_signed(both, tmp_path):
    said = lines(both.by("alice"))
    with pytest.raises(proofs.Broken, match="sha256"):
        verified(tmp_path, edited(said, 0, lambda line: line.update(everything=True)))


def test_it_refuses_a_key_of_somebody_else(both, tmp_path):
    key_id = next(iter(audit.public_keys()))
    with pytest.raises(proofs.Broken, match="signature"):
        verified(tmp_path, lines(both.by("alice")), {key_id: "A" * 43 + "="})
    with pytest.raises(proofs.Broken, match="not given"):
        verified(tmp_path, lines(both.by("alice")), {"other": "A" * 43 + "="})
