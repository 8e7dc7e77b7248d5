from django.db import models
from django.db.models import CheckConstraint


def check(condition, name):
    """A check constraint, whose argument was renamed in Django 5.1."""
    try:
        return CheckConstraint(condition=condition, name=name)
    except TypeError:
        return CheckConstraint(check=condition, name=name)


NEVER = models.Q(number=-7654321)
