"""The demo's URLs: the stocks app at the root."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("", include("workbench.demo.stocks.urls"))]
handler404 = "workbench.demo.errors.not_found"
