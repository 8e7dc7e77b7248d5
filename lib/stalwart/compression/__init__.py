"""Compressed responses: negotiation, codings, and the middleware that puts them to use."""

from stalwart.compression.middleware import CompressionMiddleware

__all__ = ["CompressionMiddleware"]
