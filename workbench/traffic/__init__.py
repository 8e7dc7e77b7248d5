"""Open-loop HTTP load from a process of its own: what to send, when, what came back, and how late the sender was.

The names to import from here are `Request`, `Reply`, `arrivals`, `Load` and `summary`.
"""

from __future__ import annotations

from workbench.traffic.load import Load
from workbench.traffic.records import Outcome, Reply, Request, read_replies
from workbench.traffic.schedule import arrivals
from workbench.traffic.summary import Second, Summary, lateness_p99, quantile, summary

__all__ = [
    "Load",
    "Outcome",
    "Reply",
    "Request",
    "Second",
    "Summary",
    "arrivals",
    "lateness_p99",
    "quantile",
    "read_replies",
    "summary",
]
