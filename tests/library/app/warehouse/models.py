"""Tables to be read, written and broken."""

from __future__ import annotations

import uuid

from django.db import models


class Account(models.Model):
    name = models.CharField(max_length=50, unique=True)
    value = models.IntegerField(default=0)


class Entry(models.Model):
    """Has no key that would give a double write away by an error."""

    text = models.CharField(max_length=50)


class Company(models.Model):
    name = models.CharField(max_length=50)
    country = models.CharField(max_length=2, null=True)


class Item(models.Model):
    company = models.ForeignKey(Company, on_delete=models.CASCADE, related_name="items")
    status = models.CharField(max_length=10, default="new")
    price = models.DecimalField(max_digits=10, decimal_places=2, default=0)
    sold_at = models.DateTimeField(null=True)


class Special(Item):
    """A model over two tables."""

    discount = models.IntegerField(default=0)


class Token(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    number = models.IntegerField()


class Word(models.Model):
    text = models.CharField(primary_key=True, max_length=50)


class Shelf(models.Model):
    """Sorted by default, and not by its key."""

    label = models.CharField(max_length=20)

    class Meta:
        ordering = ("-label",)
