"""One SQL adapter for SQLite and PostgreSQL."""
