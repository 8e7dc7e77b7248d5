"""The demo behind a real gunicorn: what its API and pages answer."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from workbench.demo.stocks.dataset import symbol
from workbench.servers.postgres import PostgresServer
from workbench.servers.quotes import QuotesServer
from workbench.servers.web import GunicornServer

if TYPE_CHECKING:
    Demo = Any

SYMBOL = symbol(0)
Answer = tuple[int, Any]


@pytest.fixture(scope="module")
def quotes() -> Iterator[QuotesServer]:
    """The external service."""
    with QuotesServer() as server:
        yield server


@pytest.fixture(scope="module")
def web(
    postgres: PostgresServer, template: str, quotes: QuotesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GunicornServer]:
    """The demo as DB-1 runs it."""
    postgres.create_database("demo_api", template=template)
    environment = {
        **os.environ,
        "STALWART_DEMO_DATABASE": json.dumps(postgres.django_database("demo_api")),
        "STALWART_DEMO_QUOTES": quotes.url,
    }
    folder: Path = tmp_path_factory.mktemp("web")
    with GunicornServer(
        "workbench.demo.wsgi:application", cwd=folder, env=environment, workers=1, ready_path="/health/"
    ) as server:
        yield server
    postgres.drop_database("demo_api")


def ask(web: GunicornServer, method: str, path: str, body: object = None) -> Answer:
    """One request; status, and the body as JSON where it is some."""
    connection = http.client.HTTPConnection(web.host, web.port, timeout=30)
    try:
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        content = reply.read()
        if reply.headers.get_content_type() == "application/json":
            return reply.status, json.loads(content)
        return reply.status, content.decode()
    finally:
        connection.close()


def order(web: GunicornServer, **changes: object) -> Answer:
    """Place an order, with some fields changed."""
    body = {"id": "t-1", "portfolio": 1, "symbol": SYMBOL, "side": "buy", "quantity": 2, **changes}
    return ask(web, "POST", "/api/orders/", body)


def test_the_list_has_latest_prices(web: GunicornServer) -> None:
    """Every company comes with its exchange, its latest bar, an unrounded change, and nulls."""
    status, data = ask(web, "GET", "/api/stocks/?limit=4&offset=1")
    assert status == 200
    assert (data["count"], data["limit"], data["offset"], len(data["results"])) == (6, 4, 1, 4)
    first = data["results"][0]
    assert Decimal(first["latest"]["close"]) > 0
    assert isinstance(first["change"], float)
    assert first["exchange"]["code"]
    assert None in first.values()
    assert "id" not in first


def test_one_stock_and_its_history(web: GunicornServer) -> None:
    """The history has as many days as asked for, the oldest first, and ends with the latest bar."""
    _, stock = ask(web, "GET", f"/api/stocks/{SYMBOL}/")
    status, data = ask(web, "GET", f"/api/stocks/{SYMBOL}/history/?days=30")
    assert status == 200
    dates = [bar["date"] for bar in data["bars"]]
    assert len(dates) == 30
    assert dates == sorted(dates)
    assert data["bars"][-1]["close"] == stock["latest"]["close"]
    assert data["bars"][0]["sma_20"] is None
    assert isinstance(data["bars"][-1]["sma_20"], float)


def test_a_portfolio_is_worth_its_parts(web: GunicornServer) -> None:
    """The total is cash plus the positions, to the cent, and the weights sum up to one."""
    status, data = ask(web, "GET", "/api/portfolios/2/")
    assert status == 200
    assert sum(Decimal(one["value"]) for one in data["positions"]) + Decimal(data["cash"]) == Decimal(
        data["total"]
    )
    assert sum(one["weight"] for one in data["positions"]) + data["cash_weight"] == pytest.approx(1)


def test_a_watchlist_and_the_export(web: GunicornServer) -> None:
    """A watchlist names companies with prices; the export holds every bar."""
    assert ask(web, "GET", "/api/watchlists/1/")[1]["companies"][0]["price"]
    assert ask(web, "GET", "/api/export/")[1]["exported"] == {"companies": 6, "bars": 600}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "Portfolios"),
        (f"/stocks/{SYMBOL}/", "Price history"),
        ("/portfolios/1/", "Latest orders"),
    ],
)
def test_pages_are_html(web: GunicornServer, path: str, words: str) -> None:
    """The pages for a browser are whole documents."""
    status, text = ask(web, "GET", path)
    assert status == 200
    assert words in text
    assert text.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    "path", ["/api/stocks/NONE/", "/api/portfolios/99/", "/api/watchlists/99/", "/api/nothing/"]
)
def test_what_is_not_there_is_404_as_json(web: GunicornServer, path: str) -> None:
    """Below /api/ even an unknown path is answered as JSON."""
    status, data = ask(web, "GET", path)
    assert status == 404
    assert "error" in data


def test_a_missing_page_is_a_page(web: GunicornServer) -> None:
    """A browser gets a page."""
    assert "</html>" in ask(web, "GET", "/stocks/NONE/")[1]


@pytest.mark.parametrize("query", ["days=0", "days=x", "days=-1", "days=99999999999999", "days=%D9%A3"])
def test_a_wrong_parameter_is_400(web: GunicornServer, query: str) -> None:
    """A query parameter that is no number in range is the client's error, with the value seen."""
    status, data = ask(web, "GET", f"/api/stocks/{SYMBOL}/history/?{query}")
    assert status == 400
    assert "days is" in data["error"]


def test_an_order_moves_cash_and_shares_and_a_repeat_does_not(web: GunicornServer) -> None:
    """The first answer is 201; the same order under the same id is 200, the very same result, and nothing moves."""
    before = ask(web, "GET", "/api/portfolios/1/")[1]
    status, first = order(web, id="moves")
    assert status == 201
    assert first["duplicate"] is False
    assert Decimal(first["amount"]) == -2 * Decimal(first["price"])
    status, repeat = order(web, id="moves")
    assert (status, repeat) == (200, {**first, "duplicate": True})
    after = ask(web, "GET", "/api/portfolios/1/")[1]
    assert (
        Decimal(after["cash"]) == Decimal(before["cash"]) + Decimal(first["amount"]) == Decimal(first["cash"])
    )
    assert order(web, id="moves-back", side="sell")[0] == 201
    assert ask(web, "GET", "/api/portfolios/1/")[1]["cash"] == before["cash"]


def test_an_id_stands_for_one_order(web: GunicornServer) -> None:
    """The id of an executed order with other content is refused, whatever differs."""
    assert order(web, id="taken")[0] == 201
    for change in ({"quantity": 3}, {"side": "sell"}, {"portfolio": 2}, {"symbol": symbol(1)}):
        status, data = order(web, **{"id": "taken", **change})
        assert status == 409, change
        assert "taken was executed as buy 2" in data["error"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"quantity": 1_000_000}, 409),
        ({"side": "sell", "quantity": 1_000_000}, 409),
        ({"portfolio": 99}, 404),
        ({"symbol": "NONE"}, 404),
        ({"quantity": 0}, 400),
        ({"quantity": True}, 400),
        ({"quantity": 2.0}, 400),
        ({"side": "give"}, 400),
        ({"id": ""}, 400),
        ({"id": "x" * 65}, 400),
        ({"id": None}, 400),
        ({"portfolio": 2**63}, 400),
        ({"symbol": "A B"}, 400),
    ],
)
def test_a_refused_order_leaves_nothing(
    web: GunicornServer, postgres: PostgresServer, change: dict[str, object], status: int
) -> None:
    """What cannot be executed is refused for certain: an error in words, and not one row is written."""
    count = "SELECT (SELECT count(*) FROM stocks_order), (SELECT count(*) FROM stocks_holding), (SELECT sum(cash) FROM stocks_portfolio)"
    with postgres.connect("demo_api") as connection:
        before = connection.execute(count).fetchone()
        answered, data = order(web, **{"id": "refused", **change})
        assert answered == status
        assert data["error"]
        assert connection.execute(count).fetchone() == before


@pytest.mark.parametrize("body", ["", "{", "[]", "3", "\x00"])
def test_a_body_that_is_no_object_is_400(web: GunicornServer, body: str) -> None:
    """A body that is not a JSON object is the client's error."""
    assert ask(web, "POST", "/api/orders/", body)[0] == 400


def test_orders_are_posted(web: GunicornServer) -> None:
    """GET on the orders is not allowed."""
    assert ask(web, "GET", "/api/orders/")[0] == 405


@pytest.mark.parametrize(
    ("mode", "parameters", "status"),
    [
        ("ok", {}, 200),
        ("status", {"code": 500}, 503),
        ("reset", {}, 503),
        ("limited", {}, 503),
        ("hang", {}, 503),
        ("garbage", {"garbage": "invalid"}, 500),
        ("garbage", {"garbage": "half"}, 500),
        ("garbage", {"garbage": "short"}, 503),
    ],
)
def test_a_failing_quote_service_is_a_definite_error(
    web: GunicornServer, quotes: QuotesServer, mode: Any, parameters: dict[str, Any], status: int
) -> None:
    """However the external service fails, the answer is an error in JSON within its time-out, never a half quote."""
    quotes.behave(mode, **parameters)
    try:
        answered, data = ask(web, "GET", f"/api/quotes/{SYMBOL}/")
    finally:
        quotes.behave("ok")
    assert answered == status
    assert ("error" in data) == (status != 200)
