from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("registry", "0003_storage"),
    ]

    operations = [
        migrations.AddField(
            model_name="evaluation",
            name="checked_rows",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="team",
            name="auto_retrain",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="team",
            name="auto_retrain_gate",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="trainingspec",
            name="suite",
            field=models.JSONField(null=True),
        ),
    ]
