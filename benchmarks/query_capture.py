"""What taking statements down adds to each, in microseconds, beside Django's own log and the peers.

    python -m pip install django-zeal django-silk django-debug-toolbar      # in an environment of its own
    PYTHONPATH=. python benchmarks/query_capture.py [rounds]

SQLite in memory, so that the database's own time is small. Each arm has a process of its own (two peers patch Django for good),
all take their rounds in turn; processor time is measured, so that other work on the machine counts less, and the minimum is
taken, since noise only adds; "deep" has 40 frames of the caller's below it. Peers
that are not installed are named and left out. A peer that adds nothing to a raw cursor does not see it. Exits with 1 when
a target is missed.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STATEMENTS, DEEP = 200, 40
ARMS: dict[str, str | None] = {
    "nothing": None,
    "ours, watching while no page is recorded": None,
    "ours, without call site": None,
    "ours, with call site": None,
    "ours, attributed (publishes no times)": None,
    "CaptureQueriesContext": None,
    "zeal installed, outside of its context": "django-zeal",
    "zeal in its context": "django-zeal",
    "silk, on SQLite (no EXPLAIN)": "django-silk",
    "debug toolbar's SQL panel": "django-debug-toolbar",
}
TARGETS = {"ours, without call site": 2.0, "ours, with call site": 5.0}
WORK = ("cursor", "get", "lazy")


def set_up(arm: str) -> tuple[Any, Any]:
    import django
    from django.conf import settings

    apps = ["django.contrib.contenttypes"]
    if arm.startswith("zeal"):
        apps.append("zeal")
    if arm.startswith("silk"):
        apps += ["django.contrib.auth", "django.contrib.sessions", "silk"]
    if arm.startswith("debug toolbar"):
        apps += ["django.contrib.staticfiles", "debug_toolbar"]
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=apps,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        STATIC_URL="/static/",
        ZEAL_NPLUSONE_THRESHOLD=10**9,  # it would raise in the middle of what is measured
    )
    django.setup()
    from django.db import connection, models

    class Parent(models.Model):
        name = models.CharField(max_length=20)

        class Meta:
            app_label = "benchmark"

    class Child(models.Model):
        parent = models.ForeignKey(Parent, on_delete=models.CASCADE)

        class Meta:
            app_label = "benchmark"

    with connection.schema_editor() as editor:
        editor.create_model(Parent)
        editor.create_model(Child)
    parents = [Parent(name=str(n)) for n in range(STATEMENTS)]
    Parent.objects.bulk_create(parents)
    Child.objects.bulk_create([Child(parent=parent) for parent in Parent.objects.all()])
    return Parent, Child


def capture(arm: str) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    """A context in which one round runs; each round begins with an empty log."""
    from django.db import connection, reset_queries

    if arm == "CaptureQueriesContext":
        from django.test.utils import CaptureQueriesContext

        def fresh() -> contextlib.AbstractContextManager[Any]:
            reset_queries()
            return CaptureQueriesContext(connection)

        return fresh
    if arm == "zeal in its context":
        from zeal import zeal_context, zeal_ignore

        @contextlib.contextmanager
        def watched() -> Any:
            with (
                zeal_context(),
                zeal_ignore(),
            ):  # it would raise at the second access, which is what is measured
                yield

        return watched
    if arm.startswith("silk"):
        from django.db.models.sql.compiler import SQLCompiler
        from silk.collector import DataCollector
        from silk.sql import execute_sql

        SQLCompiler._execute_sql = SQLCompiler.execute_sql
        SQLCompiler.execute_sql = execute_sql

        def collecting() -> contextlib.AbstractContextManager[Any]:
            DataCollector().configure(None, should_profile=False)
            return contextlib.nullcontext()

        return collecting
    if arm.startswith("debug toolbar"):
        from debug_toolbar.panels.sql.panel import SQLPanel

        @contextlib.contextmanager
        def panel() -> Any:
            made = SQLPanel(None, lambda request: None)
            made.enable_instrumentation()
            try:
                yield
            finally:
                made.disable_instrumentation()

        return panel
    if arm.startswith("ours"):
        from workbench.guest import attribution, sites
        from workbench.guest import capture as ours

        sites.root(str(HERE))
        ours.watch()
        if arm.endswith("no page is recorded"):
            return contextlib.nullcontext
        if "attributed" in arm:

            @contextlib.contextmanager
            def looking() -> Any:
                seen = attribution.Attribution()
                with ours.recording(ours.Recorder(explain=seen.explain)), attribution.attributing(seen):
                    yield

            return looking
        return lambda: ours.recording(ours.Recorder(places=arm == "ours, with call site"))
    return contextlib.nullcontext


def main_of_arm(arm: str) -> None:
    parent, child = set_up(arm)
    within = capture(arm)
    from django.db import connection

    def cursor() -> None:
        with connection.cursor() as rows:
            for _ in range(STATEMENTS):
                rows.execute("SELECT 1")

    def get() -> None:
        for key in range(1, STATEMENTS + 1):
            parent.objects.get(pk=key)

    def lazy() -> None:
        for one in children:
            _ = one.parent

    def deep(work: Callable[[], None], frames: int) -> None:
        if frames:
            deep(work, frames - 1)
        else:
            work()

    for line in sys.stdin:
        if line.strip() != "go":
            break
        took = {}
        for work in (cursor, get, lazy):
            for frames in (0, DEEP):
                with within():
                    children = list(child.objects.all())  # again: a fetched parent is kept
                    began = time.thread_time()
                    deep(work, frames)
                    took[f"{work.__name__} {frames}"] = (time.thread_time() - began) / STATEMENTS * 1e6
        print(json.dumps(took), flush=True)


def main(rounds: int) -> int:
    import django

    print(f"Python {sys.version.split()[0]}, Django {django.get_version()}; {rounds} rounds of {STATEMENTS}")
    running: dict[str, Any] = {}
    for arm, package in ARMS.items():
        if package is not None:
            try:
                version = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                print(f"  {package} is not installed; left out: {arm}")
                continue
            print(f"  {package} {version}")
        running[arm] = subprocess.Popen(
            [sys.executable, __file__, "--arm", arm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    best: dict[str, dict[str, float]] = {arm: {} for arm in running}
    try:
        for _ in range(rounds):
            for arm, process in running.items():
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write("go\n")
                    process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"{arm}: its process ended")
                for name, value in json.loads(line).items():
                    best[arm][name] = min(best[arm].get(name, value), value)
    finally:
        for process in running.values():
            process.kill()
            process.communicate()
    base = best["nothing"]
    columns = [f"{work} {frames}" for work in WORK for frames in (0, DEEP)]
    print("\nus per statement without anything, then us added (raw cursor, get(), lazy foreign key)")
    print("".join(f"{name:>12}" for name in columns))
    print("".join(f"{base[name]:12.1f}" for name in columns) + "  nothing")
    for arm, values in best.items():
        if arm != "nothing":
            print("".join(f"{values[name] - base[name]:+12.1f}" for name in columns) + f"  {arm}")
    missed = 0
    print("\ntargets, us added to a statement (raw cursor, shallow and deep)")
    for arm, target in TARGETS.items():
        added = max(best[arm][name] - base[name] for name in columns if name.startswith("cursor"))
        missed += added > target
        print(f"  {'met   ' if added <= target else 'MISSED'} {added:5.2f} <= {target}  {arm}")
    return 1 if missed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        main_of_arm(sys.argv[2])
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 31))
