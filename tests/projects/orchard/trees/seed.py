"""Fills the tables; a guest's call."""

from trees.models import Apple, Grower, Kind, Orchard, Tree


def fill(trees=12, notes=20_000):
    growers = [Grower.objects.create(name=f"grower {n}", gone=n == 1) for n in range(3)]
    kinds = [Kind.objects.create(name=f"kind {n}") for n in range(4)]
    orchards = [Orchard.objects.create(name=f"orchard {n}", grower=growers[n % 3]) for n in range(6)]
    for n in range(trees):
        tree = Tree.objects.create(
            orchard=orchards[n % 6 if n % 2 else 1], kind=kinds[n % 4], planted=1984 + n, notes="x" * notes
        )
        for m in range(1 + n % 2):
            Apple.objects.create(tree=tree, weight=m)
