"""The tables of the local network driver.

Unique constraints and foreign keys carry the invariants: an address is used once on a subnet, a
port has one address on a subnet, a MAC is used once on a network, a handle once at all; a network
with ports and a subnet with addresses cannot go. Writers that lose a race get an IntegrityError,
look again and decide anew. `seq` gives rows the order in which they were made. `note` belongs to
the API. Read and written by `ledger` alone.
"""

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.schema import CreateColumn

metadata = MetaData()

networks = Table(
    "net_networks",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("project_id", String(255)),
    Column("shared", Boolean, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
)

subnets = Table(
    "net_subnets",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("network_id", ForeignKey(networks.c.id, ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("cidr", String(49), nullable=False),
    Column("gateway", String(45)),
    Column("project_id", String(255)),
    Column("note", Text, nullable=False, server_default=""),
    UniqueConstraint("network_id", "cidr"),
)

# `handle` is what the driver finds its own ports by. A user's port has a handle made from its
# id, so that no name a user gives can pass for one of the driver's.
ports = Table(
    "net_ports",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("handle", String(300), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("owner", String(255), nullable=False, index=True),
    Column("made_by_user", Boolean, nullable=False),
    Column("network_id", ForeignKey(networks.c.id, ondelete="RESTRICT"), nullable=False),
    Column("mac", String(17), nullable=False),
    Column("project_id", String(255)),
    Column("note", Text, nullable=False, server_default=""),
    UniqueConstraint("network_id", "mac"),
)

addresses = Table(
    "net_addresses",
    metadata,
    Column("subnet_id", ForeignKey(subnets.c.id, ondelete="RESTRICT"), primary_key=True),
    Column("address", String(45), primary_key=True),
    Column("port_id", ForeignKey(ports.c.id, ondelete="CASCADE"), nullable=False),
    UniqueConstraint("port_id", "subnet_id"),
)


def bring_up(connection: Connection) -> None:
    """Make the tables that are missing, and columns that tables of an older version lack."""
    metadata.create_all(connection)
    for table in metadata.sorted_tables:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                added = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {added}"))
