"""The app's name for Django."""

from __future__ import annotations

from django.apps import AppConfig


class StocksConfig(AppConfig):
    """The stocks app."""

    name = "workbench.demo.stocks"
    label = "stocks"
    verbose_name = "Stocks"
