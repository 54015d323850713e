"""The first tables: trees, resources, observations, amphorae, statistics, events, counters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.String(36)
_DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make everything below a load balancer's row in `trees`."""
    _desired()
    _observed()
    _counted()


def _desired() -> None:
    op.create_table(
        "trees",
        sa.Column("lb_id", _ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lb_id", name="trees_pk"),
    )
    op.create_table(
        "resources",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("project_id", _ID),
        sa.Column("lb_id", _ID, nullable=False),
        sa.Column("parent_id", _ID),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("created_gen", sa.BigInteger(), nullable=False),
        sa.Column("changed_gen", sa.BigInteger(), nullable=False),
        sa.Column("deleted_gen", sa.BigInteger()),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("doc", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="resources_pk"),
        _below("resources", "lb_id", "trees.lb_id"),
    )
    op.create_index("resources_tree_ix", "resources", ["lb_id", "created_gen", "ordinal"])
    op.create_index("resources_project_ix", "resources", ["kind", "project_id", "created_at", "id"])
    op.create_index("resources_kind_ix", "resources", ["kind", "created_at", "id"])
    op.create_index("resources_parent_ix", "resources", ["parent_id"])


def _observed() -> None:
    op.create_table(
        "observations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("operating_status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="observations_pk"),
        _below("observations", "id", "resources.id"),
    )
    op.create_table(
        "amphorae",
        sa.Column("id", _ID, nullable=False),
        sa.Column("lb_id", _ID, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("doc", _DOCUMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="amphorae_pk"),
        _below("amphorae", "lb_id", "trees.lb_id"),
    )
    op.create_index("amphorae_slot_ix", "amphorae", ["lb_id", "slot"])
    op.create_table(
        "statistics",
        sa.Column("amphora_id", _ID, nullable=False),
        sa.Column("listener_id", _ID, nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("active_connections", sa.BigInteger(), nullable=False),
        sa.Column("total_connections", sa.BigInteger(), nullable=False),
        sa.Column("request_errors", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("amphora_id", "listener_id", name="statistics_pk"),
        _below("statistics", "amphora_id", "amphorae.id"),
        _below("statistics", "listener_id", "resources.id"),
    )
    op.create_index("statistics_listener_id_ix", "statistics", ["listener_id"])


def _counted() -> None:
    op.create_table(
        "events",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True, nullable=False,
        ),
        sa.Column("lb_id", _ID, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("took_ms", sa.Double(), nullable=False),
        sa.Column("amphora_id", _ID),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="events_pk"),
        _below("events", "lb_id", "trees.lb_id"),
    )  # fmt: skip
    op.create_index("events_newest_ix", "events", ["lb_id", "seq"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="counters_pk"),
    )


def _below(table: str, column: str, above: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [above], name=f"{table}_{column}_fk", ondelete="CASCADE"
    )
