"""A view is a person's until it is shared, has one name and may be what the list begins with."""

from __future__ import annotations

import pytest

from registry.access import Caller
from registry.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from registry.models import AuditEvent, Membership, SavedView
from registry.selectors import saved_views as selectors
from registry.services import saved_views
from tests.world import World


def save(world: World, who: str = "alice", name: str = "late", **more: object) -> SavedView:
    wish = {"listing": "adapters", "query": "stale=1&q=tri", **more}
    return saved_views.save(by=world.by(who), name=name, **wish)  # type: ignore[arg-type]


def seen(world: World, who: str) -> list[str]:
    return [view.name for view in selectors.listing(world.by(who), "adapters")]


def test_it_is_ones_own(world: World) -> None:
    row = save(world)
    assert (seen(world, "alice"), seen(world, "bob"), seen(world, "charlie")) == (["late"], [], [])
    with pytest.raises(NotFound):
        selectors.one(world.by("bob"), row.pk)


def test_a_shared_one_is_the_teams(world: World) -> None:
    save(world, team=world.health)
    assert (seen(world, "bob"), seen(world, "charlie")) == (["late"], [])
    Membership.objects.filter(team=world.health, user=world.alice).delete()
    assert seen(world, "alice") == []


def test_sharing_takes_an_editor_of_that_team(world: World) -> None:
    save(world, "erin", team=world.health)
    with pytest.raises(Forbidden):
        save(world, "bob", team=world.health)
    with pytest.raises(NotFound):
        save(world, "charlie", team=world.health)
    assert SavedView.objects.count() == 1


def test_a_name_is_used_once_for_a_list(world: World) -> None:
    save(world)
    save(world, listing="jobs")
    save(world, "bob")
    with pytest.raises(Conflict, match="'late'"):
        save(world)


def test_a_list_begins_with_one(world: World) -> None:
    by = world.by("alice")
    save(world, default=True)
    second = save(world, name="second", default=True)
    assert selectors.default(by, "adapters") == second
    saved_views.set_default(by=by, view=second, default=False)
    assert selectors.default(by, "adapters") is None


def test_only_its_owner_begins_with_it(world: World) -> None:
    row = save(world, team=world.health, default=True)
    assert selectors.default(world.by("erin"), "adapters") is None
    with pytest.raises(Forbidden):
        saved_views.set_default(by=world.by("erin"), view=row, default=True)


def test_it_is_deleted_by_who_saved_it_or_an_owner_of_the_team(world: World) -> None:
    own, shared = save(world, "erin"), save(world, "erin", "ours", team=world.health)
    for view in (own, shared):
        with pytest.raises(Forbidden):
            saved_views.delete(by=world.by("bob"), view=view)
    saved_views.delete(by=world.by("alice"), view=shared)
    saved_views.delete(by=world.by("erin"), view=own)
    assert not SavedView.objects.exists()


def test_each_act_is_recorded_and_one_that_is_ones_own_stays_so(world: World) -> None:
    row = save(world)
    saved_views.set_default(by=world.by("alice"), view=row, default=True)
    saved_views.delete(by=world.by("alice"), view=row)
    events = AuditEvent.objects.filter(object="view:adapters/late").order_by("pk")
    assert [event.action for event in events] == ["view.save", "view.default", "view.delete"]
    assert {event.team for event in events} == {None}


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"query": ""}, "query"),
        ({"query": "q=" + "x" * 1000}, "query"),
        ({"listing": "nothing"}, "listing"),
    ],
)
def test_what_is_wrong_is_named(world: World, wish: dict[str, str], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        save(world, **wish)  # type: ignore[arg-type]
    assert refused.value.param == param


def test_nobody_has_more_than_a_hundred_of_a_list(world: World) -> None:
    one = {"owner": world.alice, "listing": "adapters", "query": "q=x"}
    SavedView.objects.bulk_create([SavedView(name=str(number), **one) for number in range(100)])
    with pytest.raises(Conflict, match="delete one first"):
        save(world)


def test_a_token_has_none(world: World) -> None:
    with pytest.raises(Unauthenticated):
        saved_views.save(by=Caller(), listing="adapters", name="x", query="q=x")
