"""Orders that meet each other, and orders whose connection is lost: the bank holds, and every answer is true."""

from __future__ import annotations

import http.client
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from workbench.demo.stocks.bank import check_bank
from workbench.demo.stocks.dataset import symbol
from workbench.servers.postgres import PostgresServer
from workbench.servers.web import GunicornServer

if TYPE_CHECKING:
    Demo = Any

DATABASE = "demo_orders"
SYMBOL = symbol(0)
Poll = Callable[..., object]
Place = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def web(
    postgres: PostgresServer, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GunicornServer]:
    """The demo under gunicorn with two processes of four threads, on a database of this file's own."""
    postgres.create_database(DATABASE, template=template)
    environment = {
        **os.environ,
        "STALWART_DEMO_DATABASE": json.dumps(postgres.django_database(DATABASE)),
        "STALWART_DEMO_QUOTES": "",
    }
    folder: Path = tmp_path_factory.mktemp("web")
    with GunicornServer(
        "workbench.demo.wsgi:application", cwd=folder, env=environment, ready_path="/health/"
    ) as server:
        yield server
    postgres.drop_database(DATABASE)


@pytest.fixture
def database(postgres: PostgresServer, web: GunicornServer) -> Iterator[psycopg.Connection]:
    """A connection beside the server's own."""
    with postgres.connect(DATABASE) as connection:
        yield connection


@pytest.fixture
def place(web: GunicornServer) -> Place:
    """Send one order over a connection of its own."""

    def send(
        key: str, *, portfolio: int = 1, side: str = "buy", quantity: int = 1
    ) -> tuple[int, dict[str, Any]]:
        body = {"id": key, "portfolio": portfolio, "symbol": SYMBOL, "side": side, "quantity": quantity}
        connection = http.client.HTTPConnection(web.host, web.port, timeout=30)
        try:
            connection.request("POST", "/api/orders/", json.dumps(body))
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    return send


def test_nothing_is_spent_twice(place: Place, database: psycopg.Connection) -> None:
    """Of 24 orders at once for cash that is enough for ten, ten are executed and the others are refused."""
    # What the portfolio has less, it also opened with less: the sums stay right.
    database.execute(
        "UPDATE stocks_portfolio SET opening_cash = opening_cash - cash + price.amount, cash = price.amount FROM "
        "(SELECT 10 * close AS amount FROM stocks_dailybar WHERE company_id = 1 ORDER BY date DESC LIMIT 1) AS price WHERE id = 3"
    )
    keys = [f"spend-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        answers = dict(zip(keys, threads.map(lambda key: place(key, portfolio=3)[0], keys), strict=True))
    assert Counter(answers.values()) == {201: 10, 409: 14}
    report = check_bank(
        database,
        acknowledged={key for key, status in answers.items() if status == 201},
        failed={key for key, status in answers.items() if status == 409},
    )
    assert report.violations == ()


def test_one_id_sent_at_once_is_executed_once(place: Place, database: psycopg.Connection) -> None:
    """Of eight equal orders under one id one is executed, and the others get its result as a duplicate."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: place("same"), range(8)))
    assert sorted(status for status, _ in answers) == [200] * 7 + [201]
    assert len({(data["cash"], data["price"]) for _, data in answers}) == 1
    assert check_bank(database, acknowledged={"same"}, failed=()).violations == ()


def test_buying_and_selling_at_once_conserves(place: Place, database: psycopg.Connection) -> None:
    """Opposite orders on two portfolios at once all end, without deadlock, and the sums agree."""
    jobs = [(f"mixed-{n}", 1 + n % 2, "sell" if n % 4 > 1 else "buy") for n in range(32)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda job: place(job[0], portfolio=job[1], side=job[2])[0], jobs))
    assert set(answers) <= {201, 409}
    told = list(zip(jobs, answers, strict=True))
    report = check_bank(
        database,
        acknowledged={job[0] for job, status in told if status == 201},
        failed={job[0] for job, status in told if status != 201},
    )
    assert report.violations == ()


def test_the_constraint_decides_between_portfolios(
    place: Place, postgres: PostgresServer, database: psycopg.Connection, poll: Poll
) -> None:
    """An id that another portfolio's open transaction has written is waited for, and refused once that one commits."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    with postgres.connect(DATABASE, autocommit=False) as other, ThreadPoolExecutor(1) as threads:
        other.execute(
            "INSERT INTO stocks_order (reference, portfolio_id, company_id, side, quantity, price, placed_at) "
            "SELECT 'across', portfolio_id, company_id, side, quantity, price, placed_at FROM stocks_order WHERE id = 1"
        )
        other.execute(
            "INSERT INTO stocks_ledgerentry "
            "(id, order_id, portfolio_id, company_id, cash_delta, share_delta, cash_after, written_at) SELECT 'across', "
            "currval('stocks_order_id_seq'), portfolio_id, company_id, cash_delta, share_delta, cash_after, written_at "
            "FROM stocks_ledgerentry WHERE order_id = 1"
        )
        answer = threads.submit(place, "across", portfolio=2)
        poll(lambda: database.execute(waiting, [DATABASE]).fetchone() == (1,))
        other.commit()
        status, data = answer.result(30)
    assert status == 409
    assert "across was executed" in data["error"]
    # The rows above moved no cash: put right what this test, not the demo, left behind.
    database.execute("DELETE FROM stocks_ledgerentry WHERE id = 'across'")
    database.execute("DELETE FROM stocks_order WHERE reference = 'across'")
    assert check_bank(database, acknowledged=(), failed={"across"}).violations == ()


#: Ends the session's own connection in the middle of the first order, and lets the later ones be.
KILL = """
CREATE SEQUENCE kills;
CREATE FUNCTION kill_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('kills') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(5); END IF;
  RETURN NULL;
END $$;
"""
DURING_INSERT = (
    KILL + "CREATE TRIGGER k AFTER INSERT ON stocks_ledgerentry FOR EACH ROW EXECUTE FUNCTION kill_once();"
)
DURING_COMMIT = KILL + (
    "CREATE CONSTRAINT TRIGGER k AFTER INSERT ON stocks_ledgerentry DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION kill_once();"
)
#: Places one order through the whole stack of middleware, in one process.
PLACE = f"""
from django.test import Client, override_settings
order = {{"id": "cut", "portfolio": 1, "symbol": {SYMBOL!r}, "side": "buy", "quantity": 1}}
with override_settings(STALWART={{"DATABASE": {{"ENABLED": @enabled@}}}}):
    answer = Client(SERVER_NAME="127.0.0.1").post("/api/orders/", order, content_type="application/json")
result = [answer.status_code, answer.json()]
"""


@pytest.mark.parametrize(
    ("fault", "enabled", "status", "outcome"),
    [
        (DURING_INSERT, False, 503, "failed"),
        (DURING_INSERT, True, 201, "acknowledged"),
        (DURING_COMMIT, True, 201, "acknowledged"),
    ],
    ids=["insert-off", "insert-on", "commit-on"],
)
def test_a_lost_connection_is_answered_truly(
    postgres: PostgresServer, demo: Demo, fault: str, enabled: bool, status: int, outcome: str
) -> None:
    """Lost in mid-transaction it is a definite failure, or repeated by the library; lost in COMMIT it is settled first."""
    with postgres.connect(demo.database["NAME"], user="app") as connection:
        connection.execute(fault)
        answered, data = demo.script(PLACE.replace("@enabled@", str(enabled)))
        assert connection.execute("SELECT last_value >= 1 AND is_called FROM kills").fetchone() == (True,)
        assert answered == status
        assert data != {"outcome": "unknown"}
        told = {
            name: {"cut"} if name == outcome else set()
            for name in ("acknowledged", "failed", "indeterminate")
        }
        assert check_bank(connection, **told).violations == ()


def test_an_unknown_outcome_is_answered_as_one(demo: Demo) -> None:
    """What the library could not settle is neither success nor failure to the client."""
    answered = demo.script(
        "from django.test import RequestFactory\n"
        "from stalwart.exceptions import CommitOutcomeUnknown\n"
        "from workbench.demo.errors import ErrorMiddleware\n"
        "request = RequestFactory().post('/api/orders/')\n"
        "answer = ErrorMiddleware(lambda request: None).process_exception(request, CommitOutcomeUnknown('default', 7))\n"
        "result = [answer.status_code, answer.content.decode()]\n"
    )
    assert answered == [503, '{"outcome": "unknown"}']
