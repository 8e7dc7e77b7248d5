"""The bank under fire: orders placed by many at once while faults of every kind strike at random; then the books are read.

No claim was published about it. It guards the claims on the database: one order lost, one doubled, or a sum that is not
conserved with Stalwart on, and they are refuted.

Ten clerks (`workbench.guest.bank`) in two processes of the project, one at read committed and one at repeatable read, place
orders through the fault proxy. The faults are those of `workbench.drills.faults`, and further ones that need the bank:
a COMMIT whose reply is lost or that never arrives (`wire`), deadlocks, lock time-outs and serialization failures (`rows`).

Two of the three ways in which the orders are written have no key of the client's. With such a key, and a unique constraint on
it, a naive retry finds the first order and cannot double it; most applications have none, and there it does.

Orders fail here with Stalwart on as well, and that is no violation: a definite failure is the truth, and the client may order
again. A fault strikes more than once a second, and each may end a call several times, the clerks at repeatable read get
conflicts on the few portfolios besides: `database_retry` makes four calls by default, and some orders need a fifth within
half a second. A naive retry that goes on for 4 s, as the peer does, fails less often and pays with doubles. A `block` cannot run
its body again: when the lost transaction's rows were changed by somebody else before the replay, that is `ReplayMismatch`; and a
lock time-out is its caller's own limit, which it does not repeat. The table "failed by" counts them.
"""

from __future__ import annotations

from workbench.drills.bank.drill import BANK, MINUTES, bank

__all__ = ["BANK", "MINUTES", "bank"]
