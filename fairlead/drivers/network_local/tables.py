"""The tables of the local network driver.

Unique constraints and foreign keys carry the invariants: an address is used once on a subnet, a
port has one address on a subnet, a MAC is used once on a network, a handle once at all; a network
with ports and a subnet with addresses cannot go. Writers that lose a race get an IntegrityError,
look again and decide anew. `seq` gives rows the order in which they were made. Read and written
by `ledger` alone.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

networks = Table(
    "net_networks",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    Column("project_id", String(255)),
    Column("shared", Boolean, nullable=False),
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
