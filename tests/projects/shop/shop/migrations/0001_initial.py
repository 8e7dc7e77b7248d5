from decimal import Decimal

from django.db import migrations, models


def stock(apps, schema_editor):
    article = apps.get_model("shop", "Article")
    article.objects.bulk_create(article(name=f"article {n}", price=Decimal(n)) for n in range(200))


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Article",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=100)),
                ("price", models.DecimalField(max_digits=10, decimal_places=2)),
            ],
        ),
        migrations.RunPython(stock, migrations.RunPython.noop),
    ]
