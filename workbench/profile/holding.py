"""What a page holds for longer, or opens more often, than it must: transactions and connections."""

from __future__ import annotations

from workbench.profile import places
from workbench.profile.records import Finding, PageView, Query, Transaction
from workbench.profile.suspects import Suspect

#: Milliseconds that a transaction with writes may be open while its connection mostly waits: a locked row is then free for
#: ten others in a second at most. One that only reads blocks nobody, and holds a connection and a snapshot.
WRITING, READING = 100.0, 1_000.0
#: Share of that time in which nothing was asked of the database.
WAITING = 0.5
#: Connections of one view from which on they are opened per statement rather than per need.
CONNECTIONS = 3


def held(cold: PageView | None, warm: PageView) -> tuple[Suspect, ...]:
    """Transactions of a page that wait for something else than the database, on its warm view and on its cold one."""
    found: dict[str, list[Transaction]] = {}
    for transaction in warm.transactions:
        if _is_long(transaction):
            found.setdefault(_place(transaction), []).append(transaction)
    if cold is not None:  # a moment's load on the machine is no finding
        also = {_place(one) for one in cold.transactions if _is_long(one)}
        found = {place: those for place, those in found.items() if place in also}
    suspects = []
    for place, those in found.items():
        longest = max(those, key=lambda one: one.milliseconds)
        idle = longest.milliseconds - longest.busy
        text = (
            f"a transaction is open for {longest.milliseconds:,.0f} ms, {idle:,.0f} of them without a statement"
            + (", and what it has written stays locked" if longest.wrote else "")
        )
        queries = sum(one.queries for one in those)
        milliseconds = sum(one.milliseconds for one in those)
        finding = Finding("long-transaction", warm.url, None, place, queries, milliseconds, text=text)
        suspects.append(Suspect(finding))
    return tuple(suspects)


def connections(warm: PageView) -> tuple[Suspect, ...]:
    """Places whose statements had to open a connection as often as not."""
    asked: dict[str, list[Query]] = {}
    for query in warm.queries:
        asked.setdefault(query.site.file + " " + query.site.function if query.site else "", []).append(query)
    suspects = []
    for queries in asked.values():
        opened = [query for query in queries if query.opened]
        if len(opened) < CONNECTIONS or 2 * len(opened) < len(queries):
            continue
        text = f"{len(opened)} connections are opened for {len(queries)} statements"
        place = places.of_query(opened[0])
        milliseconds = sum(query.milliseconds for query in queries)
        finding = Finding(
            "connection-per-query",
            warm.url,
            None,
            place,
            len(queries),
            milliseconds,
            sql=opened[0].sql,
            text=text,
        )
        suspects.append(Suspect(finding))
    return tuple(suspects)


def _is_long(one: Transaction) -> bool:
    idle = one.milliseconds - one.busy
    return idle >= (WRITING if one.wrote else READING) and idle >= WAITING * one.milliseconds


def _place(transaction: Transaction) -> str:
    return "" if transaction.site is None else transaction.site.location
