"""What `import stalwart` and its parts cost over Django alone, in ms of a fresh interpreter.

    python benchmarks/import_time.py [repetitions]

Arms are interleaved; the minimum counts, since noise only adds.
"""

from __future__ import annotations

import subprocess
import sys
import time

ARMS = {
    "django": "import django, django.conf",
    "django + stalwart": "import django, django.conf, stalwart",
    "django + database": "import django.db, django.conf",
    "django + database + stalwart.database_retry": "import django.db, django.conf, stalwart; stalwart.database_retry",
    "django + stalwart.resilient_operation": "import django, django.conf, stalwart; stalwart.resilient_operation",
    "stalwart alone": "import stalwart",
    "nothing": "pass",
}


def seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def main(repetitions: int) -> None:
    best = dict.fromkeys(ARMS, float("inf"))
    for _ in range(repetitions):
        for name, code in ARMS.items():
            best[name] = min(best[name], seconds(code))
    for name, value in best.items():
        print(f"{value * 1000:8.1f} ms  {name}")
    for added, base in (
        ("django + stalwart", "django"),
        ("django + stalwart.resilient_operation", "django"),
        ("django + database + stalwart.database_retry", "django + database"),
    ):
        print(f"{(best[added] - best[base]) * 1000:+8.1f} ms  {added} over {base}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
