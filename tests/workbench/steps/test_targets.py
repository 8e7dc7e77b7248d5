"""`workbench.profile_queries` in a process where Django is set up already, and where it is not."""

from __future__ import annotations

from .conftest import RAILWAY, Script

SUMMARY = "answer = [[one.kind, one.relation, one.location, one.verdict] for one in step.findings]"


def test_a_callable_runs_once_here(script: Script) -> None:
    """Its statements, the relation and the line of a module that no app and no working directory has."""
    script.run("step = workbench.profile_queries(reports.names)")
    ((kind, relation, location, verdict),) = script.run(SUMMARY)
    assert (kind, relation, verdict) == ("n-plus-one", "trips.Trip.route", "untested")
    assert location.endswith("/reports.py:8")
    assert script.run("answer = len(step.queries), step.by_site()[0].runs, step.view.url") == [
        13,
        12,
        "names",
    ]
    assert script.run("answer = len(workbench.profile_queries(reports.names_with_a_limit).queries)") == 1


def test_findings_are_those_of_the_document(script: Script) -> None:
    """The same record, so that its JSON has the fields of `workbench profile --json`."""
    script.run("from workbench.schema import to_json")
    (found,) = script.run(
        "answer = [to_json(one) for one in workbench.profile_queries(reports.names).findings]"
    )
    assert found["queries"] == 12
    assert found["advice"] == []
    assert {"kind", "url", "relation", "location"} < set(found)


def test_called_again_its_findings_are_tested(script: Script) -> None:
    """With the rows of the queryset cut: one statement for each row."""
    script.run(
        "called = 0\n"
        "def counted():\n"
        "    global called\n"
        "    called += 1\n"
        "    return reports.names()\n"
        "step = workbench.profile_queries(counted, prove=True)"
    )
    ((_, _, _, verdict),) = script.run(SUMMARY)
    assert verdict == "scales"
    assert script.run("answer = step.findings[0].slope, called, len(step.queries)") == [1.0, 2, 13]
    assert "1 for each row" in script.run("answer = repr(step)")


def test_what_fails_when_it_is_cut_is_untested(script: Script) -> None:
    """A call that misses rows it counted, and one that goes on until it has them: neither hangs, and nothing is said of it."""
    script.run("""
def counting():
    trips = list(Trip.objects.all())
    names = [trip.route.name for trip in trips]
    assert len(names) == 12
def waiting():
    names = []
    while len(names) < 12:
        names = [trip.route.name for trip in Trip.objects.all()]
""")
    for name in ("counting", "waiting"):
        script.run(f"step = workbench.profile_queries({name}, prove=True)")
        ((kind, _, _, verdict),) = script.run(SUMMARY)
        assert (kind, verdict) == ("n-plus-one", "untested")


def test_afterwards_nothing_is_patched(script: Script) -> None:
    """Classes, connections and signals of Django are what they were, also after a callable that raised."""
    script.run("before = state()")
    for call in ("workbench.profile_queries(reports.names, prove=True)", "workbench.profile_queries('1')"):
        script.run(call)
        assert script.run("answer = state() == before")
    assert script.fail("workbench.profile_queries(reports.fails)") == "LookupError: as shipped"
    assert script.run("answer = state() == before")


def test_an_interruption_at_any_moment_leaves_nothing(script: Script) -> None:
    """As a notebook's stop sends it: whenever it comes, the next profile works, and after it nothing is patched."""
    script.run("""
import ctypes, random, threading, time
numbers, before = random.Random(4), state()
interrupted = 0
def interrupt(thread, seconds):
    time.sleep(seconds)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(KeyboardInterrupt))
for _ in range(30):
    timer = threading.Thread(target=interrupt, args=(threading.get_ident(), numbers.uniform(0, 0.3)))
    try:
        timer.start()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            workbench.profile_queries(reports.names, prove=True)
    except KeyboardInterrupt:
        interrupted += 1
    while timer.is_alive():
        try:
            timer.join()
        except KeyboardInterrupt:
            pass
step = workbench.profile_queries(reports.names)
# Python itself loses one that comes while an object is being finalized.
assert interrupted >= 28, interrupted
assert state() == before
answer = len(step.queries)
assert answer == 13
""")


def test_threads_and_aliases(script: Script) -> None:
    """Statements of a thread that the callable starts, and of every alias; called from a thread, it works as well."""
    script.run("step = workbench.profile_queries(reports.in_a_thread)")
    assert script.run(
        "answer = len(step.queries), {one.thread for one in step.queries} == {'elsewhere'}"
    ) == [
        13,
        True,
    ]
    script.run("step = workbench.profile_queries(reports.archived)")
    assert script.run("answer = [one.alias for one in step.queries]") == ["default", "archive"]
    script.run("""
from concurrent.futures import ThreadPoolExecutor
def profiled():
    try:
        return len(workbench.profile_queries(reports.names).queries)
    finally:
        connections.close_all()
with ThreadPoolExecutor(1) as pool:
    answer = pool.submit(profiled).result()
assert answer == 13
""")


def test_one_at_a_time(script: Script) -> None:
    """Two at once would count each other's statements: the second is refused in words, the first goes on."""
    script.run("""
from workbench.errors import WorkbenchError
said = []
def nested():
    try:
        workbench.profile_queries(reports.names)
    except WorkbenchError as error:
        said.append(str(error))
    reports.archived()
step = workbench.profile_queries(nested)
""")
    assert script.run("answer = len(step.queries)") == 2
    assert "being recorded already" in script.run("answer = said[0]")


def test_code_and_coroutines(script: Script) -> None:
    """Code runs in a namespace, by default the script's own, and its lines have a name; a coroutine function is awaited."""
    script.run(
        "names = {'Trip': Trip}\n"
        "step = workbench.profile_queries('for trip in Trip.objects.all():\\n    trip.route.name\\nlast = trip', namespace=names)"
    )
    ((_, relation, location, _),) = script.run(SUMMARY)
    assert (relation, location) == ("trips.Trip.route", "<cell: code>:2")
    assert script.run("answer = names['last'].number") == 11
    assert "trip.route.nothing" in script.run("""
import traceback
try:
    workbench.profile_queries("for trip in Trip.objects.all():\\n    trip.route.nothing", namespace=names)
except AttributeError:
    answer = traceback.format_exc()
""")
    assert script.run("answer = len(workbench.profile_queries(reports.asynchronous).queries)") == 1


def test_what_an_event_loop_forbids_is_said_before(script: Script) -> None:
    """Django refuses its databases there; the error says what to do in a notebook and in asynchronous code."""
    error = script.fail(
        "import asyncio\nasync def inside():\n    workbench.profile_queries(reports.names)\nasyncio.run(inside())"
    )
    assert "put %%django above the cell" in error


def test_a_table_a_chart_and_a_frame(script: Script) -> None:
    """All of them of the same statements, each with its time from the start."""
    script.run("step = workbench.profile_queries(reports.names)\nframe = step.to_dataframe()")
    assert script.run("answer = len(frame), bool(frame.began.is_monotonic_increasing)") == [13, True]
    assert script.run("answer = len(step.chart().rows), step.chart().alt.split(';')[1].strip()") == [
        13,
        "the most repeated ran 12 times.",
    ]
    page = script.run("answer = step._repr_html_()")
    assert "<svg" in page
    assert "trips.Trip.route" in page


def test_pages_are_visited_on_private_copies_only(script: Script) -> None:
    """On somebody's own databases a URL is refused, with both ways on."""
    error = script.fail("workbench.profile_queries('/lazy-forward/')")
    assert "a page may write" in error
    assert "project=PATH" in error
    assert "Client().get('/lazy-forward/')" in error
    script.run("""
from django.test import Client
step = workbench.profile_queries(lambda: Client().get("/faults/n_plus_one__forward/", headers={"host": "localhost"}))
""")
    assert script.run("answer = len(step.queries) > 10")


def test_a_page_of_a_project_is_tested(bare: Script) -> None:
    """Loaded on a private copy, visited warm for its times, and with its rows cut."""
    bare.run(f"""
from workbench import project
from workbench.profile.loading import Data, Loaded
with Loaded(project.find({str(RAILWAY)!r}, settings="trips.settings"), Data(rows=15)) as loaded:
    step = workbench.profile_queries("/faults/n_plus_one__forward/", project=loaded)
""")
    ((kind, relation, location, verdict),) = bare.run(SUMMARY)
    assert (kind, relation, verdict) == ("n-plus-one", "trips.Trip.route", "scales")
    assert location.startswith("trips/faults.py:")
    assert bare.run("answer = step.timed, step.attributed, step.view.status") == [True, True, 200]
    assert " ms in the database of " in bare.run("answer = repr(step)")


def test_without_django_it_says_what_is_missing(bare: Script) -> None:
    """Each target: Django is not set up; what it cannot be; options that belong to something else."""
    for target in ("lambda: 1", "'x = 1'", "'/orders/'"):
        error = bare.fail(f"workbench.profile_queries({target})")
        assert error.startswith("WorkbenchError")
        assert "Django is not set up" in error
        assert "%django load PATH" in error
    assert "are for a URL" in bare.fail("workbench.profile_queries('x = 1', headers={})")
    assert "tested always" in bare.fail("workbench.profile_queries('/x/', prove=True)")


def test_what_cannot_be_profiled(script: Script) -> None:
    """A value that was computed already is the usual slip."""
    assert "int is nothing that can be profiled" in script.fail("workbench.profile_queries(3)")
