"""What networks, subnets, ports and addresses exist: the SQL of the local network driver.

Invariants: a read is one statement; a write is one transaction that starts with a write (so that
SQLite waits for its turn instead of failing) and raises IntegrityError when a constraint of
`tables` says no: the caller looks again. No SQL here belongs to one database alone. Called by
the driver, its VIP rules and its part for users.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, Row, Table, delete, event, insert, or_, select, update
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    TimeoutError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fairlead.domain.observed import FixedIp, NetworkInfo, Port, Subnet
from fairlead.drivers.network_local.addresses import bridge_name
from fairlead.drivers.network_local.links import MTU
from fairlead.drivers.network_local.tables import (
    addresses,
    bring_up,
    metadata,
    networks,
    ports,
    subnets,
)
from fairlead.errors import Permanent, Retryable


class Segment(Struct, frozen=True, kw_only=True):
    """A network with its subnets in the order they were made, and the addresses in use."""

    network: NetworkInfo
    used: Mapping[str, frozenset[str]]

    def subnet(self, subnet_id: str) -> Subnet | None:
        """The subnet of that id, if it is on this network."""
        return next((found for found in self.network.subnets if found.id == subnet_id), None)


class Ledger:
    """Every statement the driver knows."""

    def __init__(self, engine: AsyncEngine, instance: str) -> None:
        self._engine = engine
        self._instance = instance
        if engine.dialect.name == "sqlite":
            event.listen(engine.sync_engine, "connect", _prepare_sqlite)

    async def create_tables(self) -> None:
        """Make what is missing of the tables."""
        async with self._begin() as connection:
            await connection.run_sync(bring_up)

    async def networks(self) -> list[NetworkInfo]:
        """Every network with its subnets, in the order they were made."""
        statement = (
            select(*networks.c, *_subnet_columns)
            .outerjoin(subnets, subnets.c.network_id == networks.c.id)
            .order_by(networks.c.seq, subnets.c.seq)
        )
        rows = await self._read(statement)
        return [_network(group) for group in _grouped(rows, "id")]

    async def segment(self, *, network_id: str | None, subnet_id: str | None) -> Segment | None:
        """The network of that id, or the one the subnet is on."""
        on = subnets.alias()
        of_subnet = select(on.c.network_id).where(on.c.id == subnet_id).scalar_subquery()
        statement = (
            select(*networks.c, *_subnet_columns, addresses.c.address)
            .outerjoin(subnets, subnets.c.network_id == networks.c.id)
            .outerjoin(addresses, addresses.c.subnet_id == subnets.c.id)
            .where(networks.c.id == (of_subnet if network_id is None else network_id))
            .order_by(subnets.c.seq)
        )
        rows = await self._read(statement)
        if not rows:
            return None
        used = {
            group[0].subnet_id: frozenset(row.address for row in group if row.address)
            for group in _grouped(rows, "subnet_id")
        }
        return Segment(network=_network(rows), used=used)

    async def port(self, *, handle: str | None = None, port_id: str | None = None) -> Port | None:
        """The port with that handle or id."""
        condition = ports.c.id == port_id if handle is None else ports.c.handle == handle
        return next(iter(await self.ports(condition)), None)

    async def vip_port(self, lb_id: str, handle: str) -> Port | None:
        """The driver's own port of that handle, or the user's port that `lb_id` has claimed."""
        claimed = ports.c.made_by_user & (ports.c.owner == lb_id)
        return next(iter(await self.ports(or_(ports.c.handle == handle, claimed))), None)

    async def ports_of(self, owner: str) -> list[Port]:
        """The ports of an owner."""
        return await self.ports(ports.c.owner == owner)

    async def ports_outside(self, network_id: str) -> list[Port]:
        """Every port that is not on that network."""
        return await self.ports(ports.c.network_id != network_id)

    async def ports(self, condition: ColumnElement[bool]) -> list[Port]:
        """The ports that meet a condition, in the order they were made."""
        statement = (
            select(*ports.c, addresses.c.address, *_subnet_columns)
            .outerjoin(addresses, addresses.c.port_id == ports.c.id)
            .outerjoin(subnets, subnets.c.id == addresses.c.subnet_id)
            .where(condition)
            .order_by(ports.c.seq, subnets.c.seq)
        )
        rows = await self._read(statement)
        return [self._port(group) for group in _grouped(rows, "id")]

    async def owners(self) -> frozenset[str]:
        """Every owner of a port."""
        rows = await self._read(select(ports.c.owner).distinct().where(ports.c.owner != ""))
        return frozenset(row.owner for row in rows)

    async def add_networks(self, found: Sequence[NetworkInfo]) -> None:
        """Store networks with their subnets, all or none."""
        ranges = [asdict(subnet) for network in found for subnet in network.subnets]
        async with self._begin() as connection:
            await connection.execute(insert(networks), [_network_row(one) for one in found])
            if ranges:
                await connection.execute(insert(subnets), ranges)

    async def add_port(self, port: Port, handle: str, *, made_by_user: bool) -> None:
        """Store a port with its addresses."""
        row = {name: getattr(port, name) for name in _PORT}
        row |= {"handle": handle, "made_by_user": made_by_user}
        async with self._begin() as connection:
            await connection.execute(insert(ports), row)
            await _add_addresses(connection, port.id, port.fixed_ips)

    async def change_port(
        self, port: Port, *, owner: str, add: Sequence[FixedIp], drop: Sequence[str]
    ) -> None:
        """Set the owner, drop the addresses on the subnets named, and add others."""
        gone = (addresses.c.port_id == port.id, addresses.c.subnet_id.in_(drop))
        async with self._begin() as connection:
            if owner != port.owner:
                await connection.execute(
                    update(ports).where(ports.c.id == port.id).values(owner=owner)
                )
            if drop:
                await connection.execute(delete(addresses).where(*gone))
            await _add_addresses(connection, port.id, add)

    async def change(self, after: NetworkInfo | Subnet | Port) -> bool:
        """Store what users may change of an object; False when it is gone."""
        table, names = _CHANGEABLE[type(after)]
        values = {name: getattr(after, name) for name in names}
        async with self._begin() as connection:
            statement = update(table).where(table.c.id == after.id).values(values)
            return (await connection.execute(statement)).rowcount == 1

    async def claim(self, port_id: str, owner: str) -> bool:
        """Become the owner of a user's port; False when it has one."""
        free = ports.c.made_by_user & (ports.c.owner == "")
        statement = update(ports).where(ports.c.id == port_id, free).values(owner=owner)
        async with self._begin() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def release(self, port_id: str) -> None:
        """Delete the port, or clear its owner if a user made it."""
        this = ports.c.id == port_id
        async with self._begin() as connection:
            await connection.execute(
                update(ports).where(this, ports.c.made_by_user).values(owner="")
            )
            await connection.execute(delete(ports).where(this, ~ports.c.made_by_user))

    async def delete_network(self, network_id: str) -> None:
        """Delete a network with its subnets; IntegrityError while it has ports."""
        async with self._begin() as connection:
            await connection.execute(delete(networks).where(networks.c.id == network_id))

    async def delete_subnet(self, subnet_id: str) -> None:
        """Delete a subnet; IntegrityError while ports have addresses on it."""
        async with self._begin() as connection:
            await connection.execute(delete(subnets).where(subnets.c.id == subnet_id))

    async def delete_free_port(self, port_id: str) -> bool:
        """Delete a user's port that nothing owns; False when there is no such port."""
        free = ports.c.made_by_user & (ports.c.owner == "")
        async with self._begin() as connection:
            result = await connection.execute(delete(ports).where(ports.c.id == port_id, free))
            return result.rowcount == 1

    @asynccontextmanager
    async def locked_ranges(self, network_id: str) -> AsyncIterator["Ranges | None"]:
        """The subnets of a network while no other writer can change them; None without it."""
        lock = update(networks).where(networks.c.id == network_id).values(name=networks.c.name)
        async with self._begin() as connection:
            if (await connection.execute(lock)).rowcount == 0:
                yield None
                return
            rows = await connection.execute(
                select(subnets.c.cidr).where(subnets.c.network_id == network_id)
            )
            yield Ranges(connection, [row.cidr for row in rows])

    async def wipe(self) -> None:
        """Delete every row."""
        async with self._begin() as connection:
            for table in reversed(metadata.sorted_tables):
                await connection.execute(delete(table))

    async def _read(self, statement: Any) -> Sequence[Row[Any]]:
        async with self._begin() as connection:
            return (await connection.execute(statement)).all()

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except (OperationalError, InterfaceError, TimeoutError) as error:
            raise Retryable("The database of the local networks does not answer.") from error
        except DBAPIError as error:
            raise Permanent("The database of the local networks is damaged.") from error

    def _port(self, rows: Sequence[Row[Any]]) -> Port:
        first = rows[0]
        return Port(
            mtu=MTU,
            fixed_ips=tuple(
                FixedIp(
                    subnet_id=row.subnet_id,
                    address=row.address,
                    cidr=row.subnet_cidr,
                    gateway=row.subnet_gateway,
                )
                for row in rows
                if row.address
            ),
            segment=bridge_name(self._instance, first.network_id),
            **{name: getattr(first, name) for name in _PORT},
        )


class Ranges:
    """The address ranges of one network, held still by a transaction."""

    def __init__(self, connection: AsyncConnection, cidrs: Sequence[str]) -> None:
        self._connection = connection
        self.cidrs = cidrs

    async def add(self, subnet: Subnet) -> None:
        """Store one more subnet of the network."""
        await self._connection.execute(insert(subnets), asdict(subnet))


# The columns that are fields of the same name, and those of them that users may change.
_NETWORK = tuple(name for name in NetworkInfo.__struct_fields__ if name != "subnets")
_SUBNET = Subnet.__struct_fields__
_PORT = ("id", "name", "owner", "network_id", "mac", "project_id", "note")
_CHANGEABLE: dict[type[NetworkInfo | Subnet | Port], tuple[Table, tuple[str, ...]]] = {
    NetworkInfo: (networks, ("name", "note", "shared")),
    Subnet: (subnets, ("name", "note", "gateway")),
    Port: (ports, ("name", "note")),
}
_subnet_columns = [subnets.c[name].label(f"subnet_{name}") for name in _SUBNET]


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Writers wait 30 s for each other; readers wait for nobody; foreign keys count."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def _add_addresses(
    connection: AsyncConnection, port_id: str, fixed_ips: Iterable[FixedIp]
) -> None:
    rows = [
        {"subnet_id": ip.subnet_id, "address": ip.address, "port_id": port_id} for ip in fixed_ips
    ]
    if rows:
        await connection.execute(insert(addresses), rows)


def _grouped(rows: Iterable[Row[Any]], column: str) -> Iterable[list[Row[Any]]]:
    groups: dict[str, list[Row[Any]]] = {}
    for row in rows:
        groups.setdefault(getattr(row, column), []).append(row)
    return groups.values()


def _network(rows: Sequence[Row[Any]]) -> NetworkInfo:
    first = rows[0]
    return NetworkInfo(
        subnets=tuple(
            Subnet(**{name: getattr(group[0], f"subnet_{name}") for name in _SUBNET})
            for group in _grouped(rows, "subnet_id")
            if group[0].subnet_id
        ),
        **{name: getattr(first, name) for name in _NETWORK},
    )


def _network_row(network: NetworkInfo) -> dict[str, Any]:
    return {name: getattr(network, name) for name in _NETWORK}
