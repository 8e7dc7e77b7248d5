"""Advice that changes a settings file: compression, conditional answers, kept connections; tried with the edited file itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench import project
from workbench.profile import connection_settings, pages, responses
from workbench.profile.holding import connections as connection_suspects
from workbench.profile.loading import Data, Loaded
from workbench.profile.records import Advice, Finding, PageView

RAILWAY = Path(__file__).resolve().parents[2] / "projects" / "railway"
EXTRA = """
import uuid
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import path
from trips.models import Carrier, Trip
from trips.urls import urlpatterns as own

def large(request):
    return JsonResponse({"rows": [{"number": t.number, "notes": t.notes * 10} for t in Trip.objects.order_by("number")]})

def changing(request):
    return HttpResponse(f"<p>{Carrier.objects.count()} {get_token(request)}</p>" + "<li>carrier</li>" * 100)

STARTED = str(uuid.uuid4())

def started(request):
    return HttpResponse(f"<p>{Carrier.objects.count()} {STARTED}</p>" + "<li>carrier</li>" * 100)

def looking(request):
    return HttpResponse(f"<p>{len(settings.MIDDLEWARE)} middlewares</p>" + "<li>carrier</li>" * 100)

def packed(request):
    return HttpResponse(bytes(range(256)) * 8, content_type="image/png")

def closing(request):
    from trips.faults import connection_per_query__closed
    return connection_per_query__closed(request)

urlpatterns = [*[path(f"{v.__name__}/", v) for v in (large, changing, packed, closing, started, looking)], *own]
"""
#: As the project would have it on its own server.
DATABASES = """
ROOT_URLCONF = "trips.extra"
DATABASES = {
    "default": {"ENGINE": "django.db.backends.postgresql", "NAME": "railway", "HOST": "db.railway.example"},
    "archive": {"ENGINE": "django.db.backends.postgresql", "NAME": "archive", "HOST": "db.railway.example"},
}
"""


@pytest.fixture(scope="module")
def railway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The railway with PostgreSQL in its settings, and pages of several weights."""
    root = tmp_path_factory.mktemp("settings") / "railway"
    shutil.copytree(RAILWAY, root)
    (root / "trips" / "extra.py").write_text(EXTRA)
    settings = (root / "trips" / "settings.py").read_text()
    # Without the toolbar, for which the list of middlewares is changed once more.
    start, end = settings.index("if importlib.util"), settings.index("DATABASE_ROUTERS")
    (root / "trips" / "settings.py").write_text(settings[:start] + DATABASES + settings[end:])
    with Loaded(project.find(root, settings="trips.settings"), Data(rows=0)) as loaded:
        with loaded.process() as process:
            process.call("trips.seed:fill")
        yield loaded


def views(railway: Loaded, *urls: str) -> list[PageView]:
    with railway.process() as process:
        found = []
        for url in urls:
            pages.visit(process, url, "cold")
            found.append(pages.visit(process, url, "warm"))
    assert [one.error for one in found] == [None] * len(urls)
    return found


def applied(railway: Loaded, change: str, folder: Path) -> str:
    """The settings file after the diff, by version control's own tool."""
    target = folder / "trips" / "settings.py"
    target.parent.mkdir(parents=True)
    shutil.copy(railway.project.root / "trips" / "settings.py", target)
    subprocess.run(["git", "apply", "-"], input=change, text=True, cwd=folder, check=True)
    return target.read_text()


def test_compression_and_conditional_answers(railway: Loaded, tmp_path: Path) -> None:
    """Bytes before and after, 304 or not, the same answer but for the coding; one finding of the project each."""
    before = (railway.project.root / "trips" / "settings.py").read_text()
    seen = views(railway, "/large/", "/changing/", "/packed/", "/faults/clean__counts/")
    compressed, conditional = responses.advised(railway, seen)
    assert (compressed.kind, compressed.url) == ("uncompressed-response", "/large/")
    assert re.fullmatch(r"trips/settings\.py:\d+", compressed.location)
    (advice,) = compressed.advice
    assert (advice.rejected, advice.applied, advice.same_response) == (None, True, True)
    sizes = re.search(r"([\d,]+) → ([\d,]+) bytes for 2 pages", advice.note)
    assert sizes
    first, second = (int(one.replace(",", "")) for one in sizes.groups())
    assert first > 4 * second > 0
    text = applied(railway, advice.change, tmp_path)
    security = text.index("django.middleware.security.SecurityMiddleware")
    assert security < text.index(responses.GZIP) < text.index("SessionMiddleware")

    assert conditional.kind == "no-conditional-get"
    (advice,) = conditional.advice
    assert (advice.rejected, advice.same_response) == (None, True)
    # The page with a token that changes is never the same twice, and that is told.
    assert advice.note.startswith("2 of 3 pages are answered by 304")
    assert text.index("SessionMiddleware") < text.index("CommonMiddleware")
    assert (railway.project.root / "trips" / "settings.py").read_text() == before


def test_small_and_slow_answers_are_left_alone(railway: Loaded) -> None:
    """No process is started for them."""
    small = PageView("/small/", "warm", 200, bytes=500)
    slow = PageView("/slow/", "warm", 200, bytes=50_000, milliseconds=20_000)
    failed = PageView("/failed/", "warm", 500, bytes=50_000)
    assert responses.advised(railway, [small, slow, failed]) == ()


def test_a_connection_for_each_request(railway: Loaded, tmp_path: Path) -> None:
    """Kept connections and a pool, each in a process with the edited file: fewer are opened, and requests are faster."""
    (finding,) = connection_settings.advised(railway, [], views(railway, "/faults/clean__by_key/"))
    assert (finding.kind, finding.url) == ("connection-per-request", "/faults/clean__by_key/")
    assert len(finding.advice) == 2
    for advice in finding.advice:
        assert (advice.rejected, advice.same_response) == (None, True), advice
        before, after = opened(advice)
        assert before >= 20
        assert after <= 4
        assert advice.reduction is not None
    kept = next(one for one in finding.advice if "CONN_MAX_AGE" in one.change)
    text = applied(railway, kept.change, tmp_path)
    assert text.count('"CONN_MAX_AGE": 60') == text.count('"CONN_HEALTH_CHECKS": True') == 1
    assert text.index('"default"') < text.index("CONN_MAX_AGE") < text.index('"archive"')


def opened(advice: Advice) -> tuple[int, int]:
    found = re.match(r"(\d+) → (\d+) connections opened", advice.note)
    assert found
    return int(found[1]), int(found[2])


def test_a_page_that_closes_after_each_statement_gets_a_pool(railway: Loaded) -> None:
    """CONN_MAX_AGE would not help it: the page itself closes."""
    seen = views(railway, "/closing/")
    (suspect,) = connection_suspects(seen[0])
    (finding,) = connection_settings.advised(railway, [suspect.finding], [])
    (advice,) = finding.advice
    assert '"OPTIONS": {"pool": True}' in advice.change
    assert advice.rejected is None
    before, after = opened(advice)
    assert before > 4 * after


def test_pages_that_write_are_not_asked_outside_of_a_transaction(railway: Loaded) -> None:
    """What they write would stay."""
    written = PageView("/x/", "warm", 200, wrote=True)
    finding = Finding("connection-per-query", "/x/", None, "", 4)
    (tried,) = connection_settings.advised(railway, [finding], [written])
    assert tried.advice[0].rejected == "not tried: the page writes, and requests as a server makes them stay"


def test_an_answer_that_the_setting_changes_is_rejected(railway: Loaded) -> None:
    """A page that looks at the settings themselves: smaller, and another; what differs without any edit is not held against it."""
    for finding in responses.advised(railway, views(railway, "/looking/", "/started/")):
        (advice,) = finding.advice
        assert (advice.rejected, advice.same_response) == ("an answer is another with it", False)
        assert "1 of the pages change by themselves, and were not compared" in advice.note
