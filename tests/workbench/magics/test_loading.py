"""`%django load`: a project in the kernel itself, on a private copy, kept from everything that it really uses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import SHOP, Kernel, Ran


def test_the_project_is_loaded_on_a_private_copy(shop: tuple[Kernel, Path]) -> None:
    """Its models work on the rows that its migrations made; its own database has not come into being, and no file of it was written."""
    kernel, project = shop
    assert kernel.run("%%django\nfrom shop.models import Article\nArticle.objects.count()").value == "200"
    assert kernel.run("%%django\nArticle(name='new', price=1).save()\nArticle.objects.count()").value == "201"
    assert "QuerySet of shop.Article: the first 20 rows" in kernel.run("Article.objects.all()").value
    written = {path.name for path in project.rglob("*") if path.is_file()}
    assert written == {
        path.name for path in SHOP.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".sqlite3")
    }


def test_the_guard_is_on_whatever_the_environment_says(shop: tuple[Kernel, Path]) -> None:
    """The variable that would switch it off is taken away, and the user told."""
    kernel, _ = shop
    assert kernel.run("Article.objects.count()").error == "SynchronousOnlyOperation"
    assert "DJANGO_ALLOW_ASYNC_UNSAFE was set and is not any more" in kernel.run("%django status").printed


def test_what_it_really_uses_is_out_of_reach(shop: tuple[Kernel, Path]) -> None:
    """Mail and caches are stubs, other servers are refused, from either kind of cell; status counts what was asked for."""
    kernel, project = shop
    kernel.run(
        "%%django\nfrom django.core.mail import send_mail\nsend_mail('a', 'b', 'c@example.com', ['d@example.com'])"
    )
    assert not (project / "mails").exists()
    for magic in ("", "%%django\n"):
        ran = kernel.run(f"{magic}import socket\nsocket.create_connection(('192.0.2.1', 80), 1)")
        assert ran.error == "BlockedError", ran.traceback
    status = kernel.run("%django status").printed
    assert "HTTP 192.0.2.1:80 (2 times)" in status
    assert "mail" in status


def test_the_kernels_own_parts_pass(shop: tuple[Kernel, Path]) -> None:
    """IPython's history, and a server that the workbench itself starts and connects to."""
    kernel, _ = shop
    ran = kernel.run(
        "from IPython.core.history import HistoryAccessor\nlist(HistoryAccessor(profile='default').get_tail(1)) and None"
    )
    assert not ran.error, ran.traceback
    source = """
from workbench.servers.postgres import PostgresServer
with PostgresServer(settings={"fsync": "off"}) as server:
    server.wait_ready()
    server.create_database("mine")
"""
    ran = kernel.run(source)
    assert not ran.error, ran.traceback
    # The same server is out of reach for a cell.
    direct = (
        source
        + "    import psycopg\n    psycopg.connect(host='127.0.0.1', port=server.port, dbname='mine')\n"
    )
    assert kernel.run(direct).error == "BlockedError"


def test_its_cells_are_in_its_folder_and_others_are_not(shop: tuple[Kernel, Path]) -> None:
    """Relative paths of the project work in its cells; the notebook's own stay what they were."""
    kernel, project = shop
    assert (
        kernel.run(
            "%%django\nimport os\nos.path.exists('manage.py'), os.path.samefile('.', "
            + repr(str(project))
            + ")"
        ).value
        == "(True, True)"
    )
    assert kernel.run("os.path.samefile('.', " + repr(str(project.parent)) + ")").value == "True"


def test_a_statement_on_postgresql_is_stopped(shop: tuple[Kernel, Path]) -> None:
    """The server is told to cancel; the block is rolled back, and the same connection serves the next cell."""
    kernel, _ = shop
    source = """%%django
from django.db import connection, transaction
connection.ensure_connection()
raw = connection.connection
with transaction.atomic():
    Article.objects.all().delete()
    print("started", flush=True)
    connection.cursor().execute("SELECT pg_sleep(600)")
"""
    ran, seconds = kernel.interrupted(source, lambda cell: "started" in cell.printed)
    assert ran.error == "KeyboardInterrupt"
    assert seconds < 3
    assert (
        kernel.run("%%django\nArticle.objects.count() > 0, connection.connection is raw").value
        == "(True, True)"
    )


def test_a_broken_connection_is_replaced(shop: tuple[Kernel, Path]) -> None:
    """What Django does between two requests: the cell in which it breaks fails, the next one gets a new connection."""
    kernel, _ = shop
    kernel.run(
        "%%django\nfrom django.db import connection\nconnection.cursor().execute('SELECT pg_terminate_backend(pg_backend_pid())')"
    )
    ran = kernel.run("%%django\nArticle.objects.count() > 0")
    assert ran.value == "True", ran.traceback


def test_running_the_notebook_again_is_harmless(shop: tuple[Kernel, Path]) -> None:
    """The same cell says again what is loaded, by the same relative path, also after the extension was loaded anew."""
    kernel, _ = shop
    assert "shop.settings" in kernel.run("%django load shop").printed
    kernel.run("%reload_ext workbench")
    assert "shop.settings" in kernel.run("%django load shop").printed
    assert kernel.run("%%django\nArticle.objects.exists()").value == "True"


def test_a_kernel_has_one_project(shop: tuple[Kernel, Path]) -> None:
    """A second one is refused with what to do."""
    kernel, _ = shop
    ran = kernel.run("%django load")
    assert ran.error == "WorkbenchError"
    assert "next: restart the kernel" in ran.message
    assert "workbench/magics" not in ran.traceback


def test_a_notebook_that_set_django_up_itself_keeps_it(kernel: Kernel) -> None:
    """Nothing can be loaded over it; status says that nothing is copied or stubbed there."""
    ran = kernel.run("%django load")
    assert "Django is set up in this kernel already, by settings.configure()" in ran.message
    assert (
        "on its own databases: nothing is copied, stubbed or blocked" in kernel.run("%django status").printed
    )


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Kernel]:
    with Kernel(tmp_path) as made:
        made.run("%load_ext workbench")
        yield made


def test_what_cannot_be_loaded_leaves_the_kernel_as_it_was(
    fresh: Kernel, tmp_path: Path, make_environment: object
) -> None:
    """Another interpreter, a folder that is none, options that are none, a project that fails: one sentence, and a next step."""
    project = tmp_path / "shop"
    shutil.copytree(SHOP, project)
    make_environment(project / ".venv")  # type: ignore[operator]
    other = fresh.run("%django load shop")
    assert other.error == "WorkbenchError"
    assert "has a Python of its own" in other.message
    assert "%django load PATH --here" in other.message
    assert "there is no folder" in fresh.run("%django load nowhere").message
    assert "unrecognized arguments: --quick" in fresh.run("%django load shop --quick").message
    assert "not allowed with" in fresh.run("%django load shop --rows 3 --seed x").message
    settings = project / "shop" / "settings.py"
    settings.write_text(settings.read_text() + "\nraise RuntimeError('as shipped')\n")
    broken = fresh.run("%django load shop --here")
    assert "as shipped" in broken.message
    # It failed in a process of its own, so this kernel can still have a project: the demo, by its default.
    fresh.run("shop = __import__('sys').modules.get('shop')")
    assert fresh.run("shop").value == ""
    loaded = fresh.run("%django load")
    assert not loaded.error, loaded.traceback
    assert (
        fresh.run("%%django\nfrom workbench.demo.stocks.models import Company\nCompany.objects.count()").value
        == "20"
    )


def test_a_module_of_that_name_from_elsewhere_is_noticed(fresh: Kernel, tmp_path: Path) -> None:
    """Else the kernel's module would be taken for the project's."""
    shutil.copytree(SHOP, tmp_path / "projects" / "shop")
    (tmp_path / "shop.py").write_text("")
    fresh.run("import shop")
    ran: Ran = fresh.run("%django load projects/shop")
    assert "a module shop was imported in this kernel from" in ran.message
