"""Version numbers: from a counter on the parent that only ever goes up (invariant 1)."""

from __future__ import annotations

from django.db import connection, transaction

from registry.models import Adapter, BaseModel, Dataset

NEXT = "UPDATE {table} SET version_counter = version_counter + 1 WHERE id = %s RETURNING version_counter"


def allot(parent: BaseModel | Dataset | Adapter) -> int:
    """The next number; call it in the transaction of the version that takes it."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("a number is taken in the transaction of the version that bears it")
    with connection.cursor() as cursor:  # the ORM can't ask an UPDATE for what it wrote
        cursor.execute(NEXT.format(table=parent._meta.db_table), [parent.pk])
        (number,) = cursor.fetchone()
    return int(number)
