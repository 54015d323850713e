"""The tables of the whole API: reports of drivers, catalog, quotas, secrets."""

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
        sa.Column("project_id", _ID),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("sealed", sa.LargeBinary()),
        sa.Column("doc", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="secrets_pk"),
    )
    op.create_index("secrets_project_ix", "secrets", ["kind", "project_id", "created_at", "id"])


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
