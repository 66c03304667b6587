"""What the sweep and the scrub note on artifacts, referenced base versions, merged models.

SQLite makes a table anew to add a column, and its triggers are lost with the old one: all go before and come back.
"""

from importlib import import_module

import django.db.models.deletion
from django.db import migrations, models

triggers = import_module("registry.migrations.0002_triggers")


class Migration(migrations.Migration):
    dependencies = [("registry", "0002_triggers")]

    operations = [
        migrations.RunPython(triggers.drop, triggers.create),
        migrations.AddField("artifact", "location", models.CharField(blank=True, default="", max_length=2000)),
        migrations.AddField("artifact", "marked_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("artifact", "checked_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("artifact", "damaged_at", models.DateTimeField(blank=True, null=True)),
        migrations.AlterField("artifact", "location", models.CharField(blank=True, max_length=2000)),
        migrations.AlterField(
            "artifact",
            "state",
            models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("committed", "Committed"),
                    ("referenced", "Referenced"),
                    ("destroyed", "Destroyed"),
                ],
                default="pending",
                max_length=16,
            ),
        ),
        migrations.AddIndex("artifact", models.Index(fields=["state", "checked_at"], name="artifact_rotation")),
        migrations.AddIndex(
            "artifact",
            models.Index(
                condition=models.Q(("marked_at__isnull", False)), fields=["marked_at"], name="artifact_marked"
            ),
        ),
        migrations.AddIndex(
            "artifact",
            models.Index(
                condition=models.Q(("damaged_at__isnull", False)), fields=["damaged_at"], name="artifact_damaged"
            ),
        ),
        migrations.AddField("baseversion", "reference", models.BooleanField(default=False)),
        migrations.AddField("baseversion", "revision", models.CharField(blank=True, default="", max_length=200)),
        migrations.AlterField("baseversion", "revision", models.CharField(blank=True, max_length=200)),
        migrations.CreateModel(
            name="MergedModel",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "measured_on",
                    models.CharField(
                        choices=[("16-bit", "16-bit"), ("dequantised", "Dequantised")], max_length=16
                    ),
                ),
                (
                    "job",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="merged", to="registry.job"
                    ),
                ),
                (
                    "manifest",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="merged",
                        to="registry.manifest",
                    ),
                ),
                (
                    "version",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="merged",
                        to="registry.adapterversion",
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.RunPython(triggers.create, triggers.drop),
    ]
