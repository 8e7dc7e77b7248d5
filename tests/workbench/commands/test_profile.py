"""`workbench profile` as a user runs it: tables, the document, exit codes, interruption; nothing left behind, nothing told that is secret."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.journal import read
from workbench.profile import journalled
from workbench.records import End

KEY = "k3y-that-nobody-may-see"
FILL = ("--seed", "manage.py fill --orders 4")


def pages(root: Path, *urls: str) -> str:
    """A file of URLs beside the project."""
    path = root.parent / "urls.txt"
    path.write_text("# the pages\n" + "\n".join(urls) + "\n")
    return str(path)


def test_whatever_one_page_does_the_others_are_seen(world: Any, rough: Path) -> None:
    """A page that ends its process, one that sleeps, one that raises and one that writes are rows; secrets stay where they were."""
    known = rough.parent / "known.json"
    before = {path: path.read_bytes() for path in rough.rglob("*") if path.is_file()}
    code, out, err = world.workbench(
        "profile", "--project", str(rough), *FILL, "--json", "--out", "run", "--no-advice",
        "--header", f"X-Shop-Key: {KEY}", "--login", "ann", "--page-seconds", "2",
        "--fail-on", "n-plus-one,duplicate", "--write-baseline", str(known),
    )  # fmt: skip
    assert code == 1, err
    document = json.loads(out)  # nothing else is on standard output
    rows = {row["url"]: row for row in document["urls"]}
    assert list(rows) == ["/orders/", "/dies/", "/sleeps/", "/raises/", "/writes/", "/mine/", "/clean/"]
    assert "its process ended" in rows["/dies/"]["error"]
    assert "another process" in rows["/dies/"]["error"]
    assert rows["/sleeps/"]["error"] == "cut after 2 s"
    assert rows["/raises/"]["error"] == "ValueError: no such key: ********"
    assert rows["/writes/"]["wrote"]
    assert (rows["/mine/"]["status"], rows["/mine/"]["bytes"]) == (
        200,
        len("ann"),
    )  # logged in, in a new process too
    assert (rows["/clean/"]["status"], rows["/clean/"]["queries"], rows["/clean/"]["error"]) == (200, 1, None)

    (found,) = document["findings"]
    assert (found["kind"], found["url"], found["relation"]) == (
        "n-plus-one",
        "/orders/",
        "shop.Order.customer",
    )
    assert (found["location"], found["queries"], found["verdict"]) == ("shop/views.py:8", 4, "scales")
    assert found["advice"] is None
    assert "n-plus-one shop.Order.customer at shop/views.py:8: proven: 1 a row" in err

    folder: Path = world.temp.parent / "run"
    journal = read(folder / "journal.jsonl")
    held = journalled.profile_of(journal.findings)
    assert held is not None
    assert [row.url for row in held.urls] == list(rows)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "shop/views.py:8" in page
    assert "Promises" not in page  # no claim was judged
    told = [out, err, page, *(path.read_text(encoding="utf-8") for path in folder.glob("*.json*"))]
    assert not [text for text in told if KEY in text or "sessionid" in text]
    assert str(rough) not in (folder / "journal.jsonl").read_text() + page
    assert {path: path.read_bytes() for path in rough.rglob("*") if path.is_file()} == before
    assert world.is_clean(), (world.living(), world.lying())


def test_a_baseline_survives_moved_lines_and_no_new_problem(world: Any, rough: Path) -> None:
    """The accepted finding, ten lines further down, is told as known and fails nothing; a second one fails."""
    root = Path(shutil.copytree(rough, world.temp.parent / "moved"))
    views = root / "shop" / "views.py"
    known = world.temp.parent / "known.json"
    entry = {
        "kind": "n-plus-one",
        "relation": "shop.Order.customer",
        "file": "shop/views.py",
        "place": "orders",
    }
    known.write_text(json.dumps({"version": 1, "findings": [{**entry, "lines": 1, "url": "/orders/"}]}))
    views.write_text("# moved\n" * 10 + views.read_text())
    arguments = ("profile", "--project", str(root), *FILL, "--no-advice", "--fail-on", "n-plus-one")
    urls = pages(root, "/orders/", "/clean/")
    code, out, err = world.workbench(*arguments, "--baseline", str(known), "--urls", urls, "--out", "one")
    assert code == 0, err
    assert "n-plus-one (proven: 1 a row, in the baseline)  shop/views.py:18" in out
    assert Path(out.strip().splitlines()[-1]) == world.temp.parent / "one" / "report.html"

    views.write_text(views.read_text().replace('.select_related("customer")', ".all()"))
    code, out, err = world.workbench(*arguments, "--baseline", str(known), "--urls", urls, "--json")
    assert code == 1, err
    assert len(json.loads(out)["findings"]) == 2
    line = next(n for n, text in enumerate(views.read_text().splitlines(), 1) if ".all()" in text)
    assert re.findall(r"n-plus-one shop.Order.customer at (\S+):", err) == [f"shop/views.py:{line}"]
    assert not (world.temp.parent / "reports").exists()  # the document is the record


def test_a_check_that_looks_at_nothing_is_not_green(world: Any, rough: Path) -> None:
    """Where no page answers, --fail-on cannot say that all is well."""
    code, _, err = world.workbench(
        "profile", "--project", str(rough), *FILL, "--json", "--no-advice", "--fail-on", "n-plus-one",
        "--urls", pages(rough, "/raises/", "/nowhere/"),
    )  # fmt: skip
    assert code == 2, err
    assert "none of the 2 pages could be looked at" in err
    assert "next: " in err


def test_ctrl_c_keeps_what_was_measured(world: Any, rough: Path, poll: Callable[..., object]) -> None:
    """Interrupted within a page, the pages before it are printed and journalled; every process ends."""
    mark: Path = world.temp.parent / "asleep"
    journal: Path = world.temp.parent / "run" / "journal.jsonl"
    process: subprocess.Popen[str] = world.start(
        sys.executable, "-m", "workbench", "profile", "--project", str(rough), *FILL, "--no-advice", "--out", "run",
        "--page-seconds", "60", "--env", f"SHOP_MARK={mark}", "--urls", pages(rough, "/orders/", "/sleeps/", "/clean/"),
    )  # fmt: skip
    poll(mark.exists, 90)
    # Standard error is read at the end: a few lines fit into its pipe.
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "shop/views.py:8" in out
    assert "not visited: the run was interrupted" in out
    assert "1 of 3 pages were seen" in err
    held = read(journal)
    profile = journalled.profile_of(held.findings)
    assert profile is not None
    assert profile.interrupted
    assert [one.status for one in held.of(End)] == ["interrupted"]
    assert world.is_clean(), (world.living(), world.lying())


def test_the_demos_advice_is_measured_and_shown(world: Any) -> None:
    """One command: the planted N+1 with a change that was run in fresh processes, on the terminal, in the journal, on the page."""
    urls = world.temp.parent / "urls.txt"
    urls.write_text("/\n/health/\n")
    code, out, err = world.workbench(
        "profile", "--urls", str(urls), "--out", "run", "--fail-on", "missing-index", timeout=240
    )
    assert code == 0, err
    assert "n-plus-one (proven: 1 a row)  stocks/templates/stocks/index.html:13" in out
    held = journalled.profile_of(read(world.temp.parent / "run" / "journal.jsonl").findings)
    assert held is not None
    found = {one.relation: one for one in held.findings}
    assert found.keys() == {"stocks.Company.exchange", "stocks.Company.bars"}  # nothing on the clean page
    assert all(one.advice for one in found.values())
    best = found["stocks.Company.exchange"].advice[0]
    assert best.applied
    assert best.same_response
    assert best.before is not None
    assert best.after is not None
    assert (best.before.queries, best.after.queries) == (42, 22)
    assert re.search(r'^\+.*select_related\("exchange"\)', best.change, re.MULTILINE)
    page = (world.temp.parent / "run" / "report.html").read_text(encoding="utf-8")
    assert "select_related(&#34;exchange&#34;)" in page
    assert {row.url: row.repeated for row in held.responses} == {"/": None, "/health/": None}
    assert all(row.instance_bytes and row.instance_bytes > 100 for row in held.project.models if row.rows)
    assert world.is_clean(), (world.living(), world.lying())
