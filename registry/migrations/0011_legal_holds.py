"""Legal holds; while one is open, the database deletes nothing that it covers."""

from importlib import import_module

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

triggers = import_module("registry.migrations.0002_triggers")
checkpoints = import_module("registry.migrations.0010_audit_checkpoints")
HELD = (
    "EXISTS (SELECT 1 FROM registry_legalhold h WHERE h.lifted_at IS NULL"
    " AND (h.team_id IS NULL OR h.team_id = {team}))"
)
OF_CLIENT = "(SELECT c.team_id FROM registry_client c WHERE c.id = OLD.client_id)"
SAYS = "a legal hold keeps this row"
RULES = [
    triggers.Rule("auditevent_held", "auditevent", "DELETE", HELD.replace("{team}", "OLD.team_id"), SAYS),
    triggers.Rule("receipt_held", "receipt", "DELETE", HELD.replace("{team}", OF_CLIENT), SAYS),
    triggers.kept("legalhold"),
    triggers.frozen(
        "legalhold", "id team_id reason actor created_at", unless="1 = 0", says="a legal hold is never rewritten"
    ),
    triggers.Rule(
        "legalhold_lifted_once",
        "legalhold",
        "UPDATE",
        "OLD.lifted_at IS NOT NULL AND OLD.lifted_at {differs} NEW.lifted_at",
        "a legal hold is lifted once",
    ),
]


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    checkpoints._create(editor, RULES)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    checkpoints._drop(editor, RULES)


class Migration(migrations.Migration):
    dependencies = [("registry", "0010_audit_checkpoints")]
    operations = [
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("reason", models.TextField()),
                ("actor", models.CharField(max_length=200)),
                ("lifted_at", models.DateTimeField(blank=True, null=True)),
                ("lifted_by", models.CharField(blank=True, max_length=200)),
                (
                    "team",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="legal_holds",
                        to="registry.team",
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.RunPython(create, drop),
    ]
