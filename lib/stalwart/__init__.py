"""The public door of Stalwart: resilience for Django backends.

Names are loaded when they are first used, so `import stalwart` costs next to nothing and needs no configured
Django. What is not listed here lives in the part that owns it (`stalwart.exceptions`, `stalwart.compression`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stalwart.database.retry import database_retry
    from stalwart.database.status import get_database_status
    from stalwart.database.transaction import resilient_transaction
    from stalwart.memory.querysets import QuerysetMemoryOptimizer
    from stalwart.switches import CircuitBreaker, Failover, resilient_operation

__version__ = "0.1.0"

__all__ = [
    "CircuitBreaker",
    "Failover",
    "QuerysetMemoryOptimizer",
    "__version__",
    "database_retry",
    "get_database_status",
    "resilient_operation",
    "resilient_transaction",
]

_HOMES = {
    "CircuitBreaker": "stalwart.switches",
    "Failover": "stalwart.switches",
    "QuerysetMemoryOptimizer": "stalwart.memory.querysets",
    "database_retry": "stalwart.database.retry",
    "get_database_status": "stalwart.database.status",
    "resilient_operation": "stalwart.switches",
    "resilient_transaction": "stalwart.database.transaction",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'stalwart' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(home), name)
    globals()[name] = value  # the next access does not come through here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
