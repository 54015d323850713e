"""The tables of the whole API: reports of drivers, catalog, quotas, secrets, more of amphorae."""

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.String(36)
_TIME = sa.DateTime(timezone=True)
_DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "reports",
        sa.Column("id", _ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("provisioning_status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="reports_pk"),
        sa.ForeignKeyConstraint(["id"], ["resources.id"], name="reports_id_fk", ondelete="CASCADE"),
    )
    _catalog()
    _amphorae()
    op.create_table(
        "quotas",
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("doc", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("project_id", name="quotas_pk"),
    )
    op.create_table(
        "secrets",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project_id", _ID, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("doc", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="secrets_pk"),
    )
    op.create_index("secrets_project_ix", "secrets", ["project_id", "kind", "created_at", "id"])


def _catalog() -> None:
    op.create_table(
        "catalog",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("unique_name", sa.String(255)),
        sa.Column("parent_id", _ID),
        sa.Column("doc", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="catalog_pk"),
        sa.ForeignKeyConstraint(["parent_id"], ["catalog.id"], name="catalog_parent_id_fk"),
    )
    op.create_index("catalog_unique_ix", "catalog", ["kind", "unique_name"], unique=True)
    op.create_index("catalog_parent_ix", "catalog", ["parent_id"])


def _amphorae() -> None:
    """Times to sort by, beside the documents that have them, and what was counted by the gone."""
    names = ("created_at", "updated_at", "cert_expiration")
    for name in names:
        op.add_column("amphorae", sa.Column(name, _TIME))
    amphorae = sa.table("amphorae", sa.column("id"), sa.column("doc", _DOCUMENT),
                        *(sa.column(name, _TIME) for name in names))  # fmt: skip
    connection = op.get_bind()
    for row in connection.execute(sa.select(amphorae.c.id, amphorae.c.doc)).all():
        times = {name: _moment(_decoded(row.doc).get(name)) for name in names}
        connection.execute(sa.update(amphorae).where(amphorae.c.id == row.id).values(times))
    counters = ("bytes_in", "bytes_out", "active_connections", "total_connections",
                "request_errors")  # fmt: skip
    op.create_table(
        "past_statistics",
        sa.Column("listener_id", _ID, nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counters),
        sa.PrimaryKeyConstraint("listener_id", name="past_statistics_pk"),
        sa.ForeignKeyConstraint(
            ["listener_id"], ["resources.id"], name="past_statistics_listener_id_fk",
            ondelete="CASCADE",
        ),
    )  # fmt: skip


def _decoded(document: Any) -> Any:
    """Where the driver hands out JSON as text, it is decoded here."""
    return json.loads(document) if isinstance(document, str) else document


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)
