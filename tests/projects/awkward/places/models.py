import uuid

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from places.checks import NEVER, check


class Person(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)


class Country(models.Model):
    code = models.CharField(max_length=2, primary_key=True)
    name = models.CharField(max_length=40, unique=True)


class NoCount(models.Manager):
    def count(self):
        raise NotImplementedError("this table is too large to be counted")


class Place(models.Model):
    name = models.CharField(max_length=60)
    slug = models.SlugField(unique=True)
    country = models.ForeignKey(Country, on_delete=models.CASCADE)
    within = models.ForeignKey("self", null=True, on_delete=models.SET_NULL)
    kind = models.CharField(max_length=8, choices=[("town", "Town"), ("village", "Village")])
    picture = models.FileField(blank=True)
    founded = models.DateField()
    height = models.DecimalField(max_digits=5, decimal_places=1)
    extra = models.JSONField()
    notes = GenericRelation("places.Note")

    objects = NoCount()


class Harbour(Place):
    """A child table of Place."""

    berths = models.PositiveSmallIntegerField()


class Visit(models.Model):
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    place = models.ForeignKey(Place, on_delete=models.CASCADE)
    low = models.IntegerField()
    high = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "place"], name="once")]


class Passport(models.Model):
    person = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE)
    number = models.CharField(max_length=12, unique=True)


class Impossible(models.Model):
    """No made-up value passes its check."""

    number = models.IntegerField()

    class Meta:
        constraints = [check(NEVER, "never")]


class Note(models.Model):
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveIntegerField()
    target = GenericForeignKey()
    text = models.TextField()


class Event(models.Model):
    """Lives in another database."""

    what = models.CharField(max_length=30)


class Legacy(models.Model):
    """Somebody else's table."""

    title = models.CharField(max_length=30)

    class Meta:
        managed = False
        db_table = "legacy_titles"


class PlaceCount(models.Model):
    """A view of the database."""

    country_code = models.CharField(max_length=2, primary_key=True)
    places = models.IntegerField()

    class Meta:
        managed = False
        db_table = "places_per_country"
