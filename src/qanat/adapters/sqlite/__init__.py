"""The embedded key store: one SQLite file per node, encrypted, durable before visible."""

from qanat.adapters.sqlite.store import SqliteKeyStore
from qanat.adapters.sqlite.writer import StoreWriter

__all__ = ["SqliteKeyStore", "StoreWriter"]
