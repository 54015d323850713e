"""Who provides load balancers, and how third parties' drivers are heard.

What concerns third parties is imported only where one is enabled: it costs time and memory.
"""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.controller.reports import Reports
from fairlead.domain.tree import OWN_PROVIDERS
from fairlead.drivers.provider_amphora import AmphoraProvider, Registry
from fairlead.ports import Network, Provider, Store, Vault
from fairlead.settings import Settings

if TYPE_CHECKING:
    from fairlead.drivers.provider_octavia_lib import Tellings


class Providing:
    """The enabled providers of a process, and the driver agent if a third party is among them."""

    def __init__(self, settings: Settings, vault: Vault) -> None:
        self._settings = settings
        self._vault = vault
        self._tellings: Tellings | None = None
        enabled = settings.providers.enabled
        self.registry = Registry(
            *(self._provider(name, description) for name, description in enabled.items()),
            default=settings.providers.default,
        )

    async def start_driver_agent(
        self, store: Store, network: Network, stack: AsyncExitStack
    ) -> None:
        """Open the sockets and start the providers' processes; nothing without third parties."""
        if self._tellings is None:
            return
        from fairlead.drivers.provider_octavia_lib import Agents, Door, Places

        asked, state_dir = self._settings.providers, Path(self._settings.state_dir)
        places = Places(
            status=Path(asked.status_socket or state_dir / "status.sock"),
            stats=Path(asked.stats_socket or state_dir / "stats.sock"),
            get=Path(asked.get_socket or state_dir / "get.sock"),
        )
        reports = Reports(store, network)
        await stack.enter_async_context(Door(places, reports, self._tellings, self._vault))
        await stack.enter_async_context(Agents(*asked.agents))

    def _provider(self, name: str, description: str) -> Provider:
        if name in OWN_PROVIDERS:
            maxconn = self._settings.amphora.maxconn
            return AmphoraProvider(name, description, maxconn=maxconn)
        from fairlead.drivers.provider_octavia_lib import OctaviaLibProvider, Tellings

        self._tellings = self._tellings or Tellings()
        return OctaviaLibProvider(
            name, description, vault=self._vault, tellings=self._tellings,
            seconds=self._settings.providers.call_seconds,
        )  # fmt: skip
