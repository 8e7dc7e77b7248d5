"""The order transaction: cash and shares move, and one ledger row is written, or nothing at all happens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from django.db import IntegrityError, transaction
from django.utils import timezone

from stalwart import database_retry
from workbench.demo.stocks.models import Company, Holding, LedgerEntry, Order, Portfolio, Side

REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
LARGEST = 1_000_000


class OrderRefusedError(Exception):
    """The order was not executed, for certain, and nothing was written.

    Args:
        status: the HTTP status that says so: 400 malformed, 404 no such thing, 409 against the state of the portfolio.
        reason: one sentence for the client.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class OrderIntent:
    """What a client asks for. ``reference`` is the client's own id: the same id means the same order, however often sent."""

    reference: str
    portfolio: int
    symbol: str
    side: Side
    quantity: int

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read the body of ``POST /api/orders/``.

        Raises:
            OrderRefusedError: 400, with the field and the value seen.
        """
        if not isinstance(data, Mapping):
            raise OrderRefusedError(400, f"the body is a JSON {type(data).__name__}; send an object")
        reference, portfolio, symbol, side, quantity = (
            data.get(name) for name in ("id", "portfolio", "symbol", "side", "quantity")
        )
        if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
            raise OrderRefusedError(400, f"id is {reference!r}; send 1 to 64 letters, digits and _ . : -")
        # bool is an int to Python, but true is no portfolio and no quantity.
        if type(portfolio) is not int or not 0 < portfolio < 2**63:
            raise OrderRefusedError(400, f"portfolio is {portfolio!r}; send its number")
        if not isinstance(symbol, str) or not symbol.isascii() or not symbol.isalnum():
            raise OrderRefusedError(400, f"symbol is {symbol!r}; send one such as ABCD")
        if side not in Side.values:
            raise OrderRefusedError(400, f"side is {side!r}; send buy or sell")
        if type(quantity) is not int or not 0 < quantity <= LARGEST:
            raise OrderRefusedError(400, f"quantity is {quantity!r}; send a whole number from 1 to {LARGEST}")
        return cls(reference, portfolio, symbol, Side(side), quantity)


@dataclass(frozen=True)
class OrderResult:
    """What was executed: read back from order and ledger, so that a repeat gets the very same answer.

    ``duplicate`` says that this id had been executed before and nothing was done now.
    """

    intent: OrderIntent
    price: Decimal
    amount: Decimal
    cash: Decimal
    duplicate: bool

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "id": self.intent.reference,
            "portfolio": self.intent.portfolio,
            "symbol": self.intent.symbol,
            "side": self.intent.side.value,
            "quantity": self.intent.quantity,
            "price": self.price,
            "amount": self.amount,
            "cash": self.cash,
            "duplicate": self.duplicate,
        }


@database_retry
def place_order(intent: OrderIntent) -> OrderResult:
    """Execute one order at the latest closing price.

    The decorated function holds the whole transaction: a repeat starts from fresh reads, never from the middle.

    Raises:
        OrderRefusedError: nothing was written, and nothing will be.
        stalwart.exceptions.CommitOutcomeUnknown: the connection was lost while COMMIT was under way.
    """
    try:
        with transaction.atomic():
            return execute(intent)
    except IntegrityError:
        # The same id came in at the same time for another portfolio, whose lock did not stop us: the constraint did.
        recorded = _recorded(intent)
        if recorded is None:
            raise
        return recorded


def execute(intent: OrderIntent) -> OrderResult:
    """The body of the transaction; call it inside one.

    Raises:
        OrderRefusedError: nothing was written yet; leave the transaction with it.
    """
    # The portfolio is locked first and the holding second, always: two orders that meet cannot wait for each other,
    # and everything read below stays true until the commit.
    try:
        portfolio = Portfolio.objects.select_for_update().get(pk=intent.portfolio)
    except Portfolio.DoesNotExist:
        raise OrderRefusedError(404, f"there is no portfolio {intent.portfolio}") from None
    if (recorded := _recorded(intent)) is not None:
        return recorded
    try:
        company = Company.objects.get(symbol=intent.symbol)
    except Company.DoesNotExist:
        raise OrderRefusedError(404, f"there is no company {intent.symbol}") from None
    # Safe without a retry of its own: whoever creates this portfolio's holdings has the portfolio's lock.
    holding, _ = Holding.objects.select_for_update().get_or_create(portfolio=portfolio, company=company)

    price = company.bars.order_by("-date").values_list("close", flat=True)[0]
    sign = 1 if intent.side is Side.BUY else -1
    shares, amount = sign * intent.quantity, -sign * price * intent.quantity
    if portfolio.cash + amount < 0:
        raise OrderRefusedError(409, f"the order costs {-amount} and the portfolio has {portfolio.cash}")
    if holding.quantity + shares < 0:
        raise OrderRefusedError(
            409, f"the order sells {intent.quantity} and the portfolio has {holding.quantity}"
        )

    portfolio.cash += amount
    holding.quantity += shares
    portfolio.save(update_fields=["cash"])
    holding.save(update_fields=["quantity"])
    now = timezone.now()
    order = Order.objects.create(
        reference=intent.reference,
        portfolio=portfolio,
        company=company,
        side=intent.side,
        quantity=intent.quantity,
        price=price,
        placed_at=now,
    )
    LedgerEntry.objects.create(
        id=intent.reference,
        order=order,
        portfolio=portfolio,
        company=company,
        cash_delta=amount,
        share_delta=shares,
        cash_after=portfolio.cash,
        written_at=now,
    )
    return OrderResult(intent, price, amount, portfolio.cash, duplicate=False)


def _recorded(intent: OrderIntent) -> OrderResult | None:
    """The result under this id when it was executed before."""
    entry = LedgerEntry.objects.select_related("order", "company").filter(pk=intent.reference).first()
    if entry is None:
        return None
    order = entry.order
    executed = OrderIntent(
        entry.id, order.portfolio_id, entry.company.symbol, Side(order.side), order.quantity
    )
    if executed != intent:
        raise OrderRefusedError(
            409,
            f"id {intent.reference} was executed as {executed.side.value} {executed.quantity} {executed.symbol} "
            f"in portfolio {executed.portfolio}; a new order needs a new id",
        )
    return OrderResult(intent, order.price, entry.cash_delta, entry.cash_after, duplicate=True)
