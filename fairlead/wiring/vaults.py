"""Where users' certificates are kept, and who reads them."""

from pathlib import Path

from fairlead.drivers.cabinet_barbican import BarbicanCabinet, ServiceUser
from fairlead.drivers.cabinet_local import LocalCabinet, open_keyring, renew_keys
from fairlead.drivers.clock import SystemClock
from fairlead.drivers.vault_references import ReferencedVault
from fairlead.errors import Refused
from fairlead.ports import SecretAdmin, Vault
from fairlead.settings import Settings
from fairlead.store import SqlStore
from fairlead.wiring.identity import check_keystone, keystone_password, keystone_url
from fairlead.wiring.places import only_one

KEYS = "vault.keys"


async def opened(
    settings: Settings, store: SqlStore, clock: SystemClock
) -> tuple[Vault, SecretAdmin | None]:
    """The vault, and the store behind it if users fill it here; the first start makes its key."""
    if settings.secrets.store == "barbican":
        return ReferencedVault(_barbican(settings)), None
    keyring = await open_keyring(_key_file(settings), store.secrets)
    cabinet = LocalCabinet(store.secrets, keyring, clock, most=settings.secrets.per_project)
    return ReferencedVault(cabinet), cabinet


async def renew_secret_keys(settings: Settings) -> int:
    """Seal everything with a new key; how many secrets. `Refused` while a service runs."""
    state_dir = Path(settings.state_dir)
    with only_one(state_dir):
        store = SqlStore(f"sqlite+aiosqlite:///{state_dir}/fairlead.db")
        try:
            await store.start()
            return await renew_keys(_key_file(settings), store.secrets)
        finally:
            await store.close()


def _key_file(settings: Settings) -> Path:
    named = settings.secrets.key_file
    return Path(settings.state_dir) / KEYS if named is None else Path(named)


def _barbican(settings: Settings) -> BarbicanCabinet:
    secrets, keystone = settings.secrets, settings.keystone
    url = secrets.barbican_url or ""
    if not url.startswith(("http://", "https://")):
        raise Refused("[secrets] barbican_url should be the address of Barbican, http(s)://.")
    user = None
    if secrets.barbican_auth == "keystone":
        check_keystone(keystone)
        user = ServiceUser(
            auth_url=keystone_url(keystone),
            name=keystone.username,
            password=lambda: keystone_password(keystone),
            domain=keystone.user_domain,
        )
    verify: bool | str = not keystone.insecure and (keystone.cafile or True)
    return BarbicanCabinet(url, user, timeout=keystone.timeout_seconds, verify=verify)
