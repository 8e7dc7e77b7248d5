"""Memory: going through more rows than fit."""

from stalwart.memory.querysets import QuerysetMemoryOptimizer

__all__ = ["QuerysetMemoryOptimizer"]
