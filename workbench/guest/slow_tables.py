"""The demo's tables made large enough for a query without an index to be slow: statements for the server's superuser."""

from __future__ import annotations

#: Rows that are added, and days by which the prices of each company are repeated.
COMPANIES, ORDERS, REPEATED = 40_000, 100_000, 19
#: The ids of what is added begin after this one.
BEFORE = 1_000

_BAR = "open, high, low, close, adjusted_close, volume, trades, dividend"


def _word(step: int) -> str:
    return f"(ARRAY['alpha','bravo','cargo','delta','ember','fjord','grain'])[1 + (n * {step}) % 7]"


STATEMENTS = (
    # Foreign keys are known to hold, and checking them takes half the time.
    "SET session_replication_role = replica",
    f"""
    INSERT INTO stocks_dailybar (company_id, date, {_BAR})
    SELECT company_id, date - n * (SELECT max(date) - min(date) + 1 FROM stocks_dailybar), {_BAR}
      FROM stocks_dailybar, generate_series(1, {REPEATED}) n
    """,
    f"""
    INSERT INTO stocks_company (id, symbol, name, exchange_id, currency, country, sector, ceo, city, website, employees,
                                market_cap, shares_outstanding, earnings_per_share, description)
    SELECT {BEFORE} + n, 'Q' || n, {_word(1)} || ' ' || {_word(3)} || ' ' || n, 1, 'USD', 'DE', {_word(5)},
           {_word(2)} || n % 977, {_word(4)} || n % 1013, 'https://q' || n || '.example', n % 5003, n * 17.25, n * 31,
           (n % 9001) / 7.0, repeat({_word(1)} || ' ' || n || ' ', 12)
      FROM generate_series(1, {COMPANIES}) n
    """,
    f"""
    INSERT INTO stocks_order (id, reference, portfolio_id, company_id, side, quantity, price, placed_at)
    SELECT {BEFORE} + n, 'q-' || n, 1 + n % 8, {BEFORE} + 1 + n % {COMPANIES}, 'buy', 1 + n % 7919, (n % 10007) / 3.0 + 1,
           timestamptz '2020-01-01' + n * interval '7 minutes'
      FROM generate_series(1, {ORDERS}) n
    """,
    f"""
    INSERT INTO stocks_ledgerentry (id, order_id, portfolio_id, company_id, cash_delta, share_delta, cash_after, written_at)
    SELECT reference, id, portfolio_id, company_id, -price * quantity, quantity, id, placed_at
      FROM stocks_order WHERE id > {BEFORE}
    """,
    "VACUUM ANALYZE stocks_dailybar, stocks_company, stocks_order, stocks_ledgerentry",
)
