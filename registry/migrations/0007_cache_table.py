"""The table of Django's database cache, which Django itself makes by a command and not by a migration."""

from typing import Any

from django.core.management import call_command
from django.db import migrations

TABLE = "plethora_cache"


def make(apps: Any, schema_editor: Any) -> None:
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


def drop(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(f"DROP TABLE {TABLE}")


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0006_webhooks"),
    ]

    operations = [
        migrations.RunPython(make, drop),
    ]
