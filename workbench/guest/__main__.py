"""A process of the project that answers calls: one JSON object a line in, one a line out.

`{"call": "module:function", "with": {...}}` is answered by `{"result": ...}` or `{"error": {...}}`. What the project
itself prints goes to standard error, so that it cannot be taken for an answer.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    module, _, name = request["call"].partition(":")
    try:
        result = getattr(importlib.import_module(module), name)(**request["with"])
    except Exception as error:  # noqa: BLE001 whatever the project raises is an answer for the driver
        return failure(error)
    return {"result": result}


def failure(error: BaseException) -> dict[str, Any]:
    # With all three arguments, as Python 3.9 wants them.
    trace = traceback.format_exception(type(error), error, error.__traceback__)
    return {
        "error": {
            "type": type(error).__name__,
            "text": str(error)[:2000],
            "trace": "".join(trace)[-6000:],
        }
    }


def main() -> None:
    calls = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # The project must not read our calls: whatever it reads from standard input is at its end.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        import django

        if os.environ.get("WORKBENCH_SETUP") != "no":
            if os.environ.get("WORKBENCH_ATTRIBUTION"):
                # Before anything of the project is imported, or a queryset on a class would not know its line.
                from workbench.guest import attribution

                attribution.install()
                django.setup()
                attribution.after_setup()
            else:
                django.setup()
            from workbench.guest import sandbox, wraps

            sandbox.after_setup()
            wraps.apply()
        first = {"result": {"django": django.get_version(), "python": sys.version.split()[0]}}
    except Exception as error:  # noqa: BLE001 as above
        first = failure(error)
    print(json.dumps(first, default=str), file=answers, flush=True)
    if "error" in first:
        raise SystemExit(1)
    for line in calls:
        print(json.dumps(answer(json.loads(line)), default=str), file=answers, flush=True)
    os._exit(0)  # a thread of the project must not keep the process


if __name__ == "__main__":
    main()
