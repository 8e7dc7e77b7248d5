"""The app of the demo: exchanges, companies and their daily prices; portfolios, orders and an append-only ledger."""
