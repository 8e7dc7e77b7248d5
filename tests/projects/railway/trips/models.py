import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Carrier(models.Model):
    name = models.CharField(max_length=50, unique=True)


class Route(models.Model):
    carrier = models.ForeignKey(Carrier, on_delete=models.CASCADE, related_name="routes")
    name = models.CharField(max_length=50)
    labels = GenericRelation("Label")


class TripQuerySet(models.QuerySet):
    def active(self):
        return self.filter(cancelled=False)


class Trip(models.Model):
    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="trips")
    number = models.IntegerField()
    cancelled = models.BooleanField(default=False)
    notes = models.TextField(default="")
    labels = GenericRelation("Label")
    crew = models.ManyToManyField("Worker", related_name="trips")

    objects = TripQuerySet.as_manager()

    @property
    def route_name(self):
        return self.route.name


class Express(Trip):
    seats = models.IntegerField(default=0)


class Worker(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50)


class Passenger(models.Model):
    trip = models.ForeignKey(Trip, on_delete=models.CASCADE, related_name="passengers")
    name = models.CharField(max_length=50)


class Ticket(models.Model):
    passenger = models.OneToOneField(Passenger, on_delete=models.CASCADE, related_name="ticket")
    price = models.IntegerField()


class Label(models.Model):
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()
    text = models.CharField(max_length=50)


class Station(models.Model):
    """Many of them, each behind another one."""

    name = models.CharField(max_length=50)
    beyond = models.ForeignKey("self", on_delete=models.CASCADE, null=True)


class Record(models.Model):
    """Lies in the other database."""

    text = models.CharField(max_length=50)
