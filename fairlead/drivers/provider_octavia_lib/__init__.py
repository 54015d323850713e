"""Provider drivers of third parties, as octavia-lib has them.

`OctaviaLibProvider` is one of them, seen through the port; `Tellings` holds back what drivers
report of edits that are still being told; `Door` is the driver agent with its three sockets;
`Agents` are drivers' own long-running processes. Imported by the wiring only when such a provider
is enabled: others shall not pay for it.
"""

from fairlead.drivers.provider_octavia_lib.agents import Agents
from fairlead.drivers.provider_octavia_lib.door import Door, Places
from fairlead.drivers.provider_octavia_lib.provider import OctaviaLibProvider
from fairlead.drivers.provider_octavia_lib.tellings import Tellings

__all__ = ["Agents", "Door", "OctaviaLibProvider", "Places", "Tellings"]
