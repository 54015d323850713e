"""One SQL adapter for SQLite and PostgreSQL: everything Fairlead must remember.

`SqlStore` implements the port; the wiring makes one per process.
"""

from fairlead.store.sql import SqlStore

__all__ = ["SqlStore"]
