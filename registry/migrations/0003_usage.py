"""Usage by the hour, counted from receipts once each; seals that are followed without their events."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0002_triggers"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageHour",
            fields=[
                (
                    "id",
                    models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID"),
                ),
                ("hour", models.DateTimeField()),
                ("slot", models.CharField(blank=True, max_length=63)),
                ("requests", models.PositiveBigIntegerField(default=0)),
                ("prompt_tokens", models.PositiveBigIntegerField(default=0)),
                ("completion_tokens", models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name="auditseal",
            name="blind",
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddField(
            model_name="receipt",
            name="counted",
            field=models.BooleanField(db_default=False),
        ),
        # Python alone sets the moment: nothing of the table changes, and SQLite would lose its triggers.
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.AlterField(
                    model_name="audithead",
                    name="signed_at",
                    field=models.DateTimeField(),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(condition=models.Q(("counted", False)), fields=["id"], name="receipt_uncounted"),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(fields=["at"], name="receipt_at"),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="base_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="usage", to="registry.baseversion"
            ),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="client",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="usage", to="registry.client"
            ),
        ),
        migrations.AddField(
            model_name="usagehour",
            name="version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="usage",
                to="registry.adapterversion",
            ),
        ),
        migrations.AddIndex(
            model_name="usagehour",
            index=models.Index(fields=["client", "hour"], name="usage_of_client"),
        ),
        migrations.AddIndex(
            model_name="usagehour",
            index=models.Index(fields=["version", "hour"], name="usage_of_version"),
        ),
        migrations.AddConstraint(
            model_name="usagehour",
            constraint=models.UniqueConstraint(
                condition=models.Q(("version__isnull", False)),
                fields=("hour", "client", "slot", "base_version", "version"),
                name="usage_of_version_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="usagehour",
            constraint=models.UniqueConstraint(
                condition=models.Q(("version__isnull", True)),
                fields=("hour", "client", "slot", "base_version"),
                name="usage_of_base_once",
            ),
        ),
    ]
