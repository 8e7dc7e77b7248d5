from debug_toolbar.toolbar import debug_toolbar_urls
from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path
from helpdesk.tasks import helpdesk_process_email


def later(request):
    return HttpResponse(helpdesk_process_email.delay().state)


urlpatterns = [
    path("admin/", admin.site.urls),
    path("later/", later),
    path("", include("helpdesk.urls", namespace="helpdesk")),
    *debug_toolbar_urls(),
]
