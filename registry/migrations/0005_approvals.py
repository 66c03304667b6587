"""Approvals of moves of protected aliases, and labels of adapter versions."""

from importlib import import_module

import django.db.models.deletion
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import registry.models.fields

triggers = import_module("registry.migrations.0002_triggers")
KEY = ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"))
RULES = [
    triggers.frozen(
        "approval",
        "id alias_id version_id manifest_sha256 approver_id reason created_at",
        unless="1 = 0",
        says="an approval is never rewritten",
    ),
    triggers.Rule(
        "approval_used_once",
        "approval",
        "UPDATE",
        "OLD.used_at IS NOT NULL AND OLD.used_at {differs} NEW.used_at",
        "an approval is used once",
    ),
    triggers.kept("approval"),
]


def create(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for rule in RULES:
        for statement in triggers.statements(rule, editor.connection.vendor):
            editor.execute(statement, params=None)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    for rule in RULES:
        on = " ON registry_approval" if editor.connection.vendor == "postgresql" else ""
        editor.execute(f"DROP TRIGGER plethora_{rule.name}{on}")
        if on:
            editor.execute(f"DROP FUNCTION plethora_{rule.name}()")


class Migration(migrations.Migration):
    dependencies = [("registry", "0004_evaluation_suites")]

    operations = [
        migrations.CreateModel(
            name="AdapterVersionLabel",
            fields=[
                KEY,
                ("key", models.CharField(max_length=63)),
                ("value", models.CharField(max_length=200)),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="labels",
                        to="registry.adapterversion",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["key", "value"], name="adapter_version_label_search")],
                "constraints": [
                    models.UniqueConstraint(fields=("version", "key"), name="adapter_version_label_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Approval",
            fields=[
                KEY,
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("manifest_sha256", registry.models.fields.DigestField(max_length=64)),
                ("reason", models.TextField(blank=True)),
                ("used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "alias",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="registry.alias",
                    ),
                ),
                (
                    "approver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="approvals",
                        to="registry.adapterversion",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("used_at__isnull", True)),
                        fields=("alias", "version", "approver"),
                        name="approval_once",
                    )
                ],
            },
        ),
        migrations.RunPython(create, drop),
    ]
