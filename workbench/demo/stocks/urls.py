"""The app's URLs."""

from __future__ import annotations

from django.urls import path

from workbench.demo.stocks.views import (
    exports,
    health,
    orders,
    pages,
    portfolios,
    quotes,
    stocks,
    watchlists,
)

app_name = "stocks"
urlpatterns = [
    path("", pages.index, name="index-page"),
    path("stocks/<str:symbol>/", pages.stock, name="stock-page"),
    path("portfolios/<int:key>/", pages.portfolio, name="portfolio-page"),
    path("health/", health.live, name="health"),
    path("api/stocks/", stocks.index, name="stocks"),
    path("api/stocks/<str:symbol>/", stocks.detail, name="stock"),
    path("api/stocks/<str:symbol>/history/", stocks.history, name="history"),
    path("api/portfolios/<int:key>/", portfolios.detail, name="portfolio"),
    path("api/watchlists/<int:key>/", watchlists.detail, name="watchlist"),
    path("api/orders/", orders.create, name="orders"),
    path("api/export/", exports.everything, name="export"),
    path("api/quotes/<str:symbol>/", quotes.detail, name="quote"),
]
