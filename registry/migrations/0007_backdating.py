"""What a slot or an alias had in the past can't be told anew by a row that begins there (invariants 3, 4, 10).

The first row of a slot or an alias may begin when it likes: before it there is nothing that it could contradict.
"""

from importlib import import_module

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

triggers = import_module("registry.migrations.0002_triggers")
OTHERS = "SELECT 1 FROM registry_{table} o WHERE o.{parent} = NEW.{parent}"
RULES = [
    triggers.Rule(
        f"{table}_not_backdated",
        table,
        "INSERT",
        f"EXISTS ({OTHERS.format(table=table, parent=parent)}) AND NEW.valid_from < {{recently}}",
        "what was so in the past stays so",
    )
    for table, parent in (("assignment", "slot_id"), ("aliashistory", "alias_id"))
] + [
    triggers.Rule(
        "aliashistory_one_at_a_time",
        "aliashistory",
        "INSERT",
        f"EXISTS ({OTHERS.format(table='aliashistory', parent='alias_id')} AND o.valid_to IS NULL)",
        "an alias history has no gaps and no overlaps",
    ),
]


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for rule in RULES:
        for statement in triggers.statements(rule, editor.connection.vendor):
            editor.execute(statement, params=None)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for rule in RULES:
        on = f" ON registry_{rule.table}" if editor.connection.vendor == "postgresql" else ""
        editor.execute(f"DROP TRIGGER plethora_{rule.name}{on}")
        if on:
            editor.execute(f"DROP FUNCTION plethora_{rule.name}()")


class Migration(migrations.Migration):
    dependencies = [("registry", "0006_uploads")]
    operations = [migrations.RunPython(create, drop)]
