"""A code of an authenticator app is good once, also where several machines are shown it at one moment."""

from __future__ import annotations

from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.db import connection

from registry.dashboard import second_factors
from registry.models import User
from tests.stack.crowd import at_once
from tests.stack.fixtures import Place


def test_of_all_who_show_a_code_at_once_one_comes_in(place: Place) -> None:
    alice = User.objects.create_user("alice@example.org")

    def show(_: int, code: str) -> bool:
        try:
            second_factors.use_up(alice, code)
        except ValidationError:
            return False
        return True

    for code in (f"{number:06}" for number in range(20)):
        came_in = at_once(lambda number, code=code: show(number, code))
        assert came_in.count(True) == 1


def test_every_machine_sees_what_was_used_up_and_counted(place: Place) -> None:
    cache.set("failures", [1.0], 60)
    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key FROM plethora_cache")
        assert [key for (key,) in cursor.fetchall()] == [":1:failures"]
