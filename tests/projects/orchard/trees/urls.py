"""Every function and class view of the module, under its own name."""

from django.urls import path

from trees import views

urlpatterns = [
    path(f"{name.replace('_', '-')}/", view)
    for name, view in vars(views).items()
    if getattr(view, "__module__", "") == "trees.views" and callable(view) and not isinstance(view, type)
    if name not in ("answer", "trees", "every", "apples")
]
urlpatterns += [
    path("class-model/", views.Trees.as_view()),
    path("class-queryset/", views.OldTrees.as_view()),
    path("class-inherited/", views.Inherited.as_view()),
]
