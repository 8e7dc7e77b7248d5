"""`workbench claims`: what was published, and the rule by which each number is judged."""

from __future__ import annotations

import argparse
import json
from typing import Any

from workbench.claims import CLAIMS


def run(arguments: argparse.Namespace) -> int:
    """List every published claim with its rule."""
    if arguments.json:
        rows: list[dict[str, Any]] = [
            {
                "id": one.id,
                "area": one.area,
                "published": one.published,
                "metric": one.metric,
                "rule": one.rule,
                "drill": one.drill,
            }
            for one in CLAIMS
        ]
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return 0
    for one in CLAIMS:
        print(f"{one.id:6} {one.published}\n       {one.rule}")
    return 0
