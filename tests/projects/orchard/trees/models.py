from django.db import models
from django.db.models.signals import post_save


class Present(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(gone=False)


class Grower(models.Model):
    name = models.CharField(max_length=50)
    gone = models.BooleanField(default=False)

    objects = models.Manager()
    present = Present()

    class Meta:
        base_manager_name = "present"


class Kind(models.Model):
    name = models.CharField(max_length=50)


class Orchard(models.Model):
    name = models.CharField(max_length=50)
    grower = models.ForeignKey(Grower, on_delete=models.DO_NOTHING)

    @property
    def old_trees(self):
        return self.trees.filter(planted__lt=1990).order_by("pk")


class TreeQuerySet(models.QuerySet):
    def old(self):
        return self.filter(planted__lt=2000)


class Tree(models.Model):
    orchard = models.ForeignKey(Orchard, on_delete=models.CASCADE, related_name="trees")
    kind = models.ForeignKey(Kind, on_delete=models.CASCADE)
    planted = models.IntegerField()
    notes = models.TextField(default="")

    objects = TreeQuerySet.as_manager()


class Apple(models.Model):
    tree = models.ForeignKey(Tree, on_delete=models.CASCADE)
    weight = models.IntegerField()


class Visit(models.Model):
    tree = models.ForeignKey(Tree, on_delete=models.CASCADE)
    text = models.CharField(max_length=50)


class Sale(models.Model):
    """Somebody listens to each."""

    tree = models.ForeignKey(Tree, on_delete=models.CASCADE)
    price = models.IntegerField()


def sold(sender, instance, **_):
    pass


post_save.connect(sold, sender=Sale)
