"""An approval may be withdrawn, once, and not after a move has used it.

No operation here makes SQLite write the table anew: its triggers stay.
"""

from importlib import import_module

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

triggers = import_module("registry.migrations.0002_triggers")
RULE = triggers.Rule(
    "approval_withdrawn_once",
    "approval",
    "UPDATE",
    "OLD.withdrawn_at IS NOT NULL AND OLD.withdrawn_at {differs} NEW.withdrawn_at"
    " OR NEW.used_at IS NOT NULL AND NEW.withdrawn_at IS NOT NULL",
    "an approval is used or withdrawn, and once",
)


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for statement in triggers.statements(RULE, editor.connection.vendor):
        editor.execute(statement, params=None)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    on = " ON registry_approval" if editor.connection.vendor == "postgresql" else ""
    editor.execute(f"DROP TRIGGER plethora_{RULE.name}{on}")
    if editor.connection.vendor == "postgresql":
        editor.execute(f"DROP FUNCTION plethora_{RULE.name}()")


class Migration(migrations.Migration):
    dependencies = [("registry", "0008_sessions")]
    operations = [
        migrations.AddField("approval", "withdrawn_at", models.DateTimeField(blank=True, null=True)),
        migrations.RemoveConstraint("approval", "approval_once"),
        migrations.AddConstraint(
            "approval",
            models.UniqueConstraint(
                fields=["alias", "version", "approver"],
                condition=models.Q(used_at__isnull=True, withdrawn_at__isnull=True),
                name="approval_once",
            ),
        ),
        migrations.RunPython(create, drop),
    ]
