"""A lock that many hold at once: for who needs that rows stay as they are, and changes nothing of them."""

from __future__ import annotations

from typing import TypeVar

from django.db import connection
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


def lock(rows: QuerySet[M]) -> list[M]:
    """`rows`, a plain query of one table; whoever would change one of them waits until this transaction ends.

    With `select_for_update` they would wait for each other too: all aliases on one base version move through it.
    The ORM has no such lock. On SQLite there is one writer at a time anyway.
    """
    sql, values = rows.query.get_compiler(connection=connection).as_sql()
    sharing = " FOR SHARE" if connection.vendor == "postgresql" else ""
    return list(rows.model._default_manager.raw(f"{sql}{sharing}", values))
