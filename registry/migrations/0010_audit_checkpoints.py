"""The record may be let go of up to a checkpoint, and nothing beyond it.

No operation here makes SQLite write a table anew: `on_delete` is no column's business. The triggers stay.
"""

from importlib import import_module
from typing import Any

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import registry.models.fields

triggers = import_module("registry.migrations.0002_triggers")
BEFORE = [triggers.kept(table) for table in ("auditevent", "auditseal", "audithead")]
NEWEST = "(SELECT COALESCE(MAX(c.position), 0) FROM registry_auditcheckpoint c)"
SEALED = f"EXISTS (SELECT 1 FROM registry_auditseal s WHERE s.event_id = OLD.id AND s.position <= {NEWEST})"


def kept_beyond(table: str, when: str) -> Any:
    says = f"rows of {table} go only behind a checkpoint"
    return triggers.Rule(f"{table}_kept", table, "DELETE", when, says)


AFTER = [
    kept_beyond("auditevent", f"NOT {SEALED}"),
    kept_beyond("auditseal", f"OLD.position > {NEWEST}"),
    kept_beyond("audithead", f"OLD.position > {NEWEST}"),
    triggers.kept("auditcheckpoint"),
    triggers.Rule(
        "auditcheckpoint_fixed", "auditcheckpoint", "UPDATE", "1 = 1", "rows of auditcheckpoint never change"
    ),
    triggers.Rule(
        "auditcheckpoint_of_seal",
        "auditcheckpoint",
        "INSERT",
        "NOT EXISTS (SELECT 1 FROM registry_auditseal s WHERE s.position = NEW.position AND s.hash = NEW.hash)",
        "a checkpoint names a position that is sealed, and its hash",
    ),
]


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    _drop(editor, BEFORE)
    _create(editor, AFTER)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    _drop(editor, AFTER)
    _create(editor, BEFORE)


def _create(editor: BaseDatabaseSchemaEditor, rules: list[Any]) -> None:
    for rule in rules:
        for statement in triggers.statements(rule, editor.connection.vendor):
            editor.execute(statement, params=None)


def _drop(editor: BaseDatabaseSchemaEditor, rules: list[Any]) -> None:
    postgresql = editor.connection.vendor == "postgresql"
    for rule in rules:
        on = f" ON registry_{rule.table}" if postgresql else ""
        editor.execute(f"DROP TRIGGER plethora_{rule.name}{on}")
        if postgresql:
            editor.execute(f"DROP FUNCTION plethora_{rule.name}()")


class Migration(migrations.Migration):
    dependencies = [("registry", "0009_approvals_withdrawn")]
    operations = [
        migrations.CreateModel(
            name="AuditCheckpoint",
            fields=[
                ("position", models.BigIntegerField(primary_key=True, serialize=False)),
                ("hash", registry.models.fields.DigestField()),
                ("until", models.DateTimeField()),
                ("key_id", models.CharField(max_length=32)),
                ("signature", models.CharField(max_length=200)),
                ("signed_at", models.DateTimeField()),
            ],
        ),
        migrations.AlterField(
            "auditseal",
            "event",
            models.OneToOneField(
                on_delete=django.db.models.deletion.DO_NOTHING, related_name="seal", to="registry.auditevent"
            ),
        ),
        migrations.RunPython(create, drop),
    ]
