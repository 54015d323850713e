"""The composition root: the only package that names concrete drivers."""

from fairlead.wiring.places import instance_id
from fairlead.wiring.service import Service
from fairlead.wiring.vaults import renew_secret_keys
from fairlead.wiring.worlds import local_network, renderer, uninstall

__all__ = ["Service", "instance_id", "local_network", "renderer", "renew_secret_keys", "uninstall"]
