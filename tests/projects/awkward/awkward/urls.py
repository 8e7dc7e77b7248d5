from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import path, re_path
from places import views

urlpatterns = [
    path("backstage/", admin.site.urls),
    path("", views.home),
    path("people/<uuid:pk>/", views.PersonView.as_view()),
    path("countries/<str:code>/", views.country),
    path("places/<slug:slug>/", views.PlaceView.as_view()),
    re_path(r"^archive/(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/$", views.archive),
    path("notes/", views.notes),
    path("private/", login_required(views.home)),
    path("form/", views.form),
    path("mail/", views.mail),
    path("fetch/", views.fetch),
    path("upload/", views.upload),
    path("writes/", views.writes),
    path("other-database/", views.other_database),
    path("broken/", views.broken),
    path("count/", views.count),
    path("legacy/", views.legacy),
    path("unfillable/<token>/", views.home),
]
urlpatterns += i18n_patterns(path("about/", views.home))
