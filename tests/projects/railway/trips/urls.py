"""Every function and class view of the module, under its own name; and the planted faults beneath `faults/`."""

from django.urls import path

from trips import faults, views

urlpatterns = [
    path(f"{name.strip('_').replace('_', '-')}/", view)
    for name, view in vars(views).items()
    if getattr(view, "__module__", "") == "trips.views" and callable(view) and not isinstance(view, type)
    if name != "answer"
]
urlpatterns += [
    path("class-plain/", views.Trips.as_view()),
    path("class-queryset/", views.ActiveTrips.as_view()),
]
urlpatterns += [
    path(f"faults/{name}/", view) for name, view in vars(faults).items() if "__" in name and callable(view)
]
