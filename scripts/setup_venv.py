"""Make `.venv` with the pinned dependencies and both packages: what `make venv` and README's plain commands run.

Standard library only, so that it runs before anything is installed. Safe to repeat: it does nothing when the
environment already matches the two files that decide what is in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / ".stalwart-installed"
EXTRAS = "postgres,workbench,test,dev"
OLDEST = (3, 11)


def fail(problem: str, step: str) -> None:
    print(f"setup: {problem}\n  next: {step}", file=sys.stderr)
    raise SystemExit(2)


def wanted() -> str:
    """What the environment must match: the declared and the pinned dependencies, the interpreter, the place."""
    digest = hashlib.sha256(f"{sys.version_info[:3]} {ROOT}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def interpreter() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def explain(output: str) -> tuple[str, str]:
    """Turn pip's last words into one sentence and the step that helps."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if "No matching distribution" in output or "Could not find a version" in output:
        lines = [line for line in output.splitlines() if "No matching distribution" in line]
        missing = lines[-1].rpartition(" for ")[2] if lines else "a dependency"
        return (
            f"there is no ready-built package of {missing} for Python {version} on {sys.platform}",
            (
                "use CPython 3.11 to 3.13 on Linux, macOS or Windows x86-64 (make venv PYTHON=python3.12), or build "
                "what is missing with a C compiler installed: STALWART_BUILD=1 make venv"
            ),
        )
    if "Temporary failure in name resolution" in output or "Connection" in output or "Retrying" in output:
        return (
            "the package index could not be reached",
            "check the network or pip's index and proxy settings, then run it again",
        )
    if "error: command" in output or "Failed to build" in output or "failed-wheel-build" in output:
        return (
            "a dependency had to be compiled and that failed: no C compiler was found, or it refused",
            "install one (Debian: apt-get install gcc python3-dev; macOS: xcode-select --install), or use CPython 3.11 to 3.13, for which ready-built packages exist",
        )
    if "No space left" in output:
        return "the disk is full", "free about 1 GB and run it again"
    return (
        "pip could not install the dependencies; its last lines stand above",
        "mend what they name and run it again",
    )


def install() -> None:
    command = [
        str(interpreter()),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--quiet",
        "-c",
        "constraints.txt",
        "-e",
        f".[{EXTRAS}]",
    ]
    if not os.environ.get("STALWART_BUILD"):
        # A missing wheel then ends in one clear sentence, not in a page of compiler output.
        command[4:4] = ["--only-binary", ":all:"]
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-6:]), file=sys.stderr)
        fail(*explain(done.stdout))


def main() -> None:
    if sys.version_info < OLDEST:
        fail(
            f"Python {sys.version.split()[0]} is too old; Stalwart needs 3.11 or newer",
            "name a newer one: make venv PYTHON=python3.12",
        )
    if STAMP.exists() and STAMP.read_text() == wanted():
        return
    print(f"setting up .venv with Python {sys.version.split()[0]} (once, a minute or two) ...", flush=True)
    try:
        if VENV.exists() and not STAMP.exists():
            shutil.rmtree(VENV)  # a half-made one, from an interrupted first try
        if not interpreter().exists():
            venv.create(VENV, with_pip=True)
        STAMP.unlink(missing_ok=True)
        install()
        STAMP.write_text(wanted())
    except PermissionError as error:
        fail(
            f"cannot write {error.filename}",
            "make the checkout writable, or clone it to a folder of your own",
        )
    except subprocess.CalledProcessError as error:
        fail(
            f"the venv module failed ({error})",
            "install it (Debian: apt-get install python3-venv) and run it again",
        )
    print(f"ready: {VENV}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        raise SystemExit(130) from None
