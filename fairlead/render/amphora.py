"""The whole configuration of one amphora.

PURE. Called by the controller to know the revision it wants and to send what makes it so:
equal trees and ports give an equal revision, whatever the epoch.
"""

import math
from collections.abc import Mapping

import msgspec

from fairlead.domain import shape
from fairlead.domain.observed import Port
from fairlead.domain.tree import Tree
from fairlead.render.haproxy import Haproxy, Site, haproxy
from fairlead.render.interfaces import interfaces
from fairlead.wire.amphora import AmphoraConfig, File, revision_of


def amphora_config(
    tree: Tree,
    ports: Mapping[str, Port],
    vip: Port,
    *,
    epoch: int,
    slot: int = 0,
    maxconn: int,
    ping_command: str,
    threads: int = 1,
    processors: int = 1,
    directory: str = "/var/lib/amphora",
    files: Mapping[str, File] = {},
) -> AmphoraConfig:
    """What the amphora with these `ports` (by network id, management excluded) shall do.

    Needs the VIP's addresses in the tree and on the port `vip`, and a port on its network.
    `slot` is its place in the topology. `ping_command` and `directory` are paths as the amphora
    sees them; `threads` are haproxy's, and `maxconn` is the most that it can hold. A flavor may ask
    for less, and for other processors, of which the host has `processors`. `files` are
    certificates by source; what lacks one of its own is left out.
    """
    flavor = shape.of_flavor(tree.root.flavor_data)
    if flavor.amphora_cpus is not None:
        threads = min(math.ceil(flavor.amphora_cpus), processors)
    site = Site(
        maxconn=min(flavor.connection_limit or maxconn, maxconn),
        threads=threads,
        directory=directory,
        ping_command=ping_command,
    )
    sources = {source: file.name for source, file in sorted(files.items())}
    balancing = haproxy(tree, site, sources)
    beside = {file.name: file for file in [*files.values(), *balancing.files]}
    config = AmphoraConfig(
        epoch=epoch,
        revision="",
        haproxy_cfg=balancing.text,
        skeleton=_skeleton(balancing, tree.root.slots[slot].pushes),
        servers=balancing.servers,
        interfaces=interfaces(ports, vip, tree.root.vip_addresses),
        files=tuple(beside[name] for name in sorted(beside)),
        sources=sources,
    )
    return msgspec.structs.replace(config, revision=revision_of(config))


def _skeleton(balancing: Haproxy, pushes: int) -> str:
    """What is asked to be sent anew is another configuration: haproxy loads it again."""
    return f"{balancing.skeleton}:{pushes}" if pushes else balancing.skeleton
