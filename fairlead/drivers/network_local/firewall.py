"""The packet filter that keeps the local networks apart: one nftables table per instance.

Invariants: nothing is forwarded from or to the management bridge, and its amphorae reach the
host by its gateway address alone; nothing passes between users' own bridges and the host, which
would otherwise take packets for any of its addresses from any bridge. What leaves the default
network for elsewhere bears the host's address, so that routed members can answer. Where the kernel
shows bridged packets to these hooks (br_netfilter), they come in and go out by the same bridge: no
rule here may match that, and users' networks, whose addresses may be equal, are not tracked.
The table is replaced in one transaction. Called by the driver at start and at removal.
"""

import asyncio
from collections.abc import Sequence

from fairlead.errors import Permanent


async def install(
    instance: str, *, management: str, gateway: str, default: str, default_cidrs: Sequence[str]
) -> None:
    """Put the table in force; `management` and `default` are the names of those bridges."""
    await _nft(_table(instance, management, gateway, default, default_cidrs))


async def remove(instance: str) -> None:
    """Delete the table, if it is there."""
    await _nft(_without(instance))


def _table(
    instance: str, management: str, gateway: str, default: str, default_cidrs: Sequence[str]
) -> str:
    ours, family = f'"fl{instance}*"', _family(gateway)
    masquerade = "\n".join(
        f"    oifname != {ours} {_family(cidr)} saddr {cidr} masquerade" for cidr in default_cidrs
    )
    return f"""{_without(instance)}
table inet fairlead_{instance} {{
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname {ours} iifname != {{ "{default}", "{management}" }} notrack
  }}
  chain input {{
    type filter hook input priority filter - 10; policy accept;
    iifname "{default}" accept
    iifname "{management}" {family} daddr {gateway} accept
{_neighbour_discovery(management, gateway)}    iifname {ours} drop
  }}
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    iifname != "{management}" oifname "{management}" drop
    iifname {ours} iifname != "{default}" oifname != {ours} drop
    iifname {ours} iifname != "{default}" oifname "{default}" drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat - 10; policy accept;
{masquerade}
  }}
}}
"""


def _without(instance: str) -> str:
    table = f"inet fairlead_{instance}"
    return f"add table {table}\ndelete table {table}\n"


def _family(address: str) -> str:
    return "ip6" if ":" in address else "ip"


def _neighbour_discovery(management: str, gateway: str) -> str:
    """IPv6 finds neighbours by packets this hook sees; IPv4 has ARP, which it never sees."""
    if ":" not in gateway:
        return ""
    types = "nd-neighbor-solicit, nd-neighbor-advert"
    return f'    iifname "{management}" icmpv6 type {{ {types} }} accept\n'


async def _nft(script: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            "nft",
            "-f",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise Permanent("The program nft is missing: install the package nftables.") from error
    _, complaint = await process.communicate(script.encode())
    if process.returncode:
        raise Permanent(f"nft refused the packet filter: {complaint.decode().strip()}")
