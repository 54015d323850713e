"""Networks as Linux bridges of one host, with address management in an SQL database.

The embedded default behind `ports.Network` and `ports.NetworkAdmin`. `driver` is the port
for controllers, `user_networks` the one for users, `placement` the rules for VIPs, `ledger` the
SQL, `tables` its schema, `links` the bridges, `firewall` the packet filter, `addresses` the pure
choices. Only wiring imports this package.
"""

from fairlead.drivers.network_local.addresses import choose_free
from fairlead.drivers.network_local.driver import NetworkLocal

__all__ = ["NetworkLocal", "choose_free"]
