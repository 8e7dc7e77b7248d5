"""One page for each way in which a change goes wrong, or goes another way than usual."""

import time
import uuid

from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Prefetch
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.generic import DetailView, ListView

from trees.models import Apple, Grower, Kind, Orchard, Sale, Tree, Visit


def answer(rows):
    return JsonResponse({"rows": list(rows)})


def trees():
    return Tree.objects.order_by("pk")


def hidden(request):
    """A grower who is gone is not found by the base manager; a join finds him."""

    def name(orchard):
        try:
            return orchard.grower.name
        except Grower.DoesNotExist:
            return "gone"

    return answer(name(orchard) for orchard in Orchard.objects.order_by("pk"))


def mutated(request):
    """Prefetched, trees of one kind share one object."""
    rows = []
    for tree in trees():
        tree.kind.name += "!"
        rows.append(tree.kind.name)
    return answer(rows)


def rewritten(request):
    """What is loaded along at the beginning is stale at the end."""
    rows = []
    for tree in trees():
        Kind.objects.filter(pk=tree.kind_id).update(name=f"kind {tree.pk}")
        rows.append(tree.kind.name)
    return answer(rows)


def united(request):
    rows = Tree.objects.filter(planted__lt=1990).union(Tree.objects.filter(planted__gte=1990)).order_by("id")
    return answer(tree.kind.name for tree in rows)


def bare(request):
    """Follows every key already; naming one would end that."""
    return answer([tree.kind.name, tree.orchard.grower_id, len(tree.apple_set.all())] for tree in every())


def every():
    return Tree.objects.select_related().order_by("pk")


def deferred_key(request):
    return answer(tree.kind.name for tree in trees().defer("kind"))


def iterated(request):
    return answer(tree.kind.name for tree in trees().iterator())


def raw(request):
    return answer(tree.kind.name for tree in Tree.objects.raw("SELECT * FROM trees_tree ORDER BY id"))


def locked(request):
    with transaction.atomic():
        return answer(tree.kind.name for tree in trees().select_for_update())


def prefetched_otherwise(request):
    old = Prefetch("trees", Tree.objects.filter(planted__lt=1990))
    rows = Orchard.objects.order_by("pk").prefetch_related(old)
    return answer([len(o.trees.all()), [t.pk for t in o.trees.order_by("pk")]] for o in rows)


def refined(request):
    """Asks for something else than a prefetch loads."""
    rows = Orchard.objects.order_by("pk")
    return answer([tree.pk for tree in orchard.trees.order_by("-planted")[:2]] for orchard in rows)


def first(request):
    rows = Orchard.objects.filter(trees__isnull=False).distinct().order_by("pk")
    return answer(orchard.trees.order_by("pk").first().pk for orchard in rows)


def looked_up(request):
    rows = trees().values("pk", "kind_id")
    return answer(Kind.objects.get(pk=row["kind_id"]).name for row in rows)


def two_on_a_line(request):
    rows = [*trees().filter(planted__lt=1990), *trees().filter(planted__gte=1990)]
    return answer(tree.kind.name for tree in rows)


ONCE = Tree.objects.order_by("pk")


def evaluated_once(request):
    """The module keeps its rows: a second view asks for nothing."""
    return answer(tree.pk for tree in ONCE)


def apples(tree):
    return tree.apple_set.count()


def counted_elsewhere(request):
    return answer(apples(tree) for tree in trees())


def counted(request):
    return answer([orchard.name, orchard.trees.count()] for orchard in Orchard.objects.order_by("pk"))


def nested(request):
    return answer(apple.tree.kind.name for apple in Apple.objects.order_by("pk"))


def paged(request):
    return answer(tree.kind.name for tree in Paginator(trees(), 6).get_page(1))


def detail(request):
    orchard = get_object_or_404(Orchard, name="orchard 1")
    return answer(
        [apple.weight for apple in tree.apple_set.order_by("pk")] for tree in orchard.trees.order_by("pk")
    )


def detail_of_all(request):
    orchard = get_object_or_404(Orchard, name="orchard 1")
    return answer(
        sorted(apple.weight for apple in tree.apple_set.all()) for tree in orchard.trees.order_by("pk")
    )


def managed(request):
    return answer(tree.kind.name for tree in Tree.objects.old().order_by("pk"))


def through_a_property(request):
    return answer([tree.kind.name for tree in Orchard.objects.get(name="orchard 1").old_trees])


class Trees(ListView):
    model = Tree
    ordering = ["pk"]
    template_name = "trees.html"


class OldTrees(ListView):
    queryset = Tree.objects.old().order_by("pk")
    template_name = "trees.html"


class OneOrchard(DetailView):
    """The template goes over what the view did not make."""

    model = Orchard
    template_name = "orchard.html"


class Inherited(Trees):
    pass


def one_orchard(request):
    return OneOrchard.as_view()(request, pk=Orchard.objects.get(name="orchard 1").pk)


def heavy(request):
    return answer(tree.planted for tree in Tree.objects.order_by("pk"))


def joined_for_nothing(request):
    return answer(tree.planted for tree in trees().select_related("kind").defer("notes"))


def visited(request):
    for n in range(6):
        Visit.objects.create(tree_id=1, text=f"visit {n}")
    return answer([Visit.objects.filter(text__startswith="visit").count()])


def sold(request):
    for n in range(6):
        Sale.objects.create(tree_id=1, price=n)
    return answer([])


def twice(request):
    def kinds():
        return [kind.name for kind in Kind.objects.order_by("pk")]

    return answer([kinds(), kinds()])


def unstable(request):
    names = [tree.kind.name for tree in trees()]
    return HttpResponse(" ".join(names) + " word" * (time.perf_counter_ns() % 97))


def changing(request):
    names = [tree.kind.name for tree in trees()]
    return HttpResponse(f"<p>{' '.join(names)} {uuid.uuid4()}</p>")


PROCESS = uuid.uuid4()


def of_the_process(request):
    """Says the same as long as its process lives, and something else in the next one."""
    return HttpResponse(" ".join([*(tree.kind.name for tree in trees()), str(PROCESS)]))


def clean(request):
    return answer(orchard.n for orchard in Orchard.objects.order_by("pk").annotate(n=Count("trees")))
