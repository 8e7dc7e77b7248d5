"""Every function and class view of the module, under its own name."""

from django.urls import path

from trips import views

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
