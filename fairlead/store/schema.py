"""The tables, as the newest migration leaves them.

Every row hangs below its load balancer's row in `trees` by foreign keys that cascade, so a load
balancer that is gone leaves nothing behind whatever was written meanwhile. What heartbeats write
(observations, statistics) and what the controller writes (events, amphorae) has tables of its
own: it never meets an edit. Documents are JSON; beside them stand the columns that are looked up,
sorted by or needed to derive statuses. A test compares this file with the migrations.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

metadata = sa.MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
        "ix": "%(table_name)s_%(column_0_name)s_ix",
    }
)

ID = sa.String(36)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


class Utc(sa.TypeDecorator[datetime]):
    """An aware datetime, kept in UTC also where the database knows no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Aware, in UTC."""
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)


def _below(column: sa.Column[Any]) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


trees = sa.Table(
    "trees",
    metadata,
    sa.Column("lb_id", ID, primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
)

# `ordinal` orders objects that were created in the same generation; both never change.
# `tags` repeats the document's tags in a form that plain SQL can search (see documents.py).
resources = sa.Table(
    "resources",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("project_id", ID),
    sa.Column("lb_id", ID, _below(trees.c.lb_id), nullable=False),
    sa.Column("parent_id", ID),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("created_gen", sa.BigInteger, nullable=False),
    sa.Column("changed_gen", sa.BigInteger, nullable=False),
    sa.Column("deleted_gen", sa.BigInteger),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("doc", DOCUMENT, nullable=False),
    sa.Index("resources_tree_ix", "lb_id", "created_gen", "ordinal"),
    sa.Index("resources_project_ix", "kind", "project_id", "created_at", "id"),
    sa.Index("resources_kind_ix", "kind", "created_at", "id"),
    sa.Index("resources_parent_ix", "parent_id"),
)

observations = sa.Table(
    "observations",
    metadata,
    sa.Column("id", ID, _below(resources.c.id), primary_key=True),
    sa.Column("operating_status", sa.String(16), nullable=False),
)

# What a third party's provider driver last reported of an object, and of which generation.
reports = sa.Table(
    "reports",
    metadata,
    sa.Column("id", ID, _below(resources.c.id), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("provisioning_status", sa.String(16), nullable=False),
)

amphorae = sa.Table(
    "amphorae",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("lb_id", ID, _below(trees.c.lb_id), nullable=False),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("doc", DOCUMENT, nullable=False),
    sa.Column("created_at", Utc),
    sa.Column("updated_at", Utc),
    sa.Column("cert_expiration", Utc),
    sa.Index("amphorae_slot_ix", "lb_id", "slot"),
)

statistics = sa.Table(
    "statistics",
    metadata,
    sa.Column("amphora_id", ID, _below(amphorae.c.id), primary_key=True),
    sa.Column("listener_id", ID, _below(resources.c.id), primary_key=True, index=True),
    sa.Column("bytes_in", sa.BigInteger, nullable=False),
    sa.Column("bytes_out", sa.BigInteger, nullable=False),
    sa.Column("active_connections", sa.BigInteger, nullable=False),
    sa.Column("total_connections", sa.BigInteger, nullable=False),
    sa.Column("request_errors", sa.BigInteger, nullable=False),
)

# What amphorae that are gone had counted, or what a third party's driver counts.
past_statistics = sa.Table(
    "past_statistics",
    metadata,
    sa.Column("listener_id", ID, _below(resources.c.id), primary_key=True),
    sa.Column("bytes_in", sa.BigInteger, nullable=False),
    sa.Column("bytes_out", sa.BigInteger, nullable=False),
    sa.Column("active_connections", sa.BigInteger, nullable=False),
    sa.Column("total_connections", sa.BigInteger, nullable=False),
    sa.Column("request_errors", sa.BigInteger, nullable=False),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column(
        "seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True, autoincrement=True,
    ),
    sa.Column("lb_id", ID, _below(trees.c.lb_id), nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("took_ms", sa.Double, nullable=False),
    sa.Column("amphora_id", ID),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Index("events_newest_ix", "lb_id", "seq"),
)  # fmt: skip

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

# Flavors, availability zones and their profiles. `unique_name` is set where a kind's names are
# unique; `parent_id` is the profile, which cannot go while it is used.
catalog = sa.Table(
    "catalog",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("unique_name", sa.String(255)),
    sa.Column("parent_id", ID, sa.ForeignKey("catalog.id")),
    sa.Column("doc", DOCUMENT, nullable=False),
    sa.Index("catalog_unique_ix", "kind", "unique_name", unique=True),
    sa.Index("catalog_parent_ix", "parent_id"),
)

quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("doc", DOCUMENT, nullable=False),
)

# Secrets of users and containers of them; `sealed` is the payload, encrypted.
secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("doc", DOCUMENT, nullable=False),
    sa.Index("secrets_project_ix", "project_id", "kind", "created_at", "id"),
)
