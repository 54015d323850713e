"""Who is let in, as the settings say: users of two files, tokens of Keystone, or everybody.

And where it is noted what they do.
"""

import ssl
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import ip_address
from pathlib import Path

import httpx
import msgspec
import structlog

from fairlead.api.access import Authenticator
from fairlead.api.audit import Audit
from fairlead.api.first_user import HTPASSWD, USERS, ensure_admin
from fairlead.api.http_basic import HttpBasic
from fairlead.api.keystone import Keystone
from fairlead.api.keystone_client import KeystoneClient, ServiceUser
from fairlead.api.no_auth import NoAuth
from fairlead.drivers import audit_lines
from fairlead.errors import Refused
from fairlead.ports import Clock
from fairlead.settings import AuditSettings, KeystoneSettings, Settings

log = structlog.get_logger()


def authenticator(
    settings: Settings, state_dir: Path, clock: Clock, stack: AsyncExitStack
) -> Authenticator:
    """Who lets callers in; what it opens the stack closes."""
    match settings.api.auth_strategy:
        case "noauth":
            log.warning("authentication is off: everybody is an administrator")
            return NoAuth()
        case "keystone":
            return _keystone(settings.keystone, clock, stack)
    return _http_basic(settings, state_dir)


def audit(settings: AuditSettings) -> Audit | None:
    """Where changes are noted, if they are."""
    if not settings.enabled:
        return None
    if settings.destination == "log":
        return Audit(audit_lines.to_log)
    path = Path(settings.destination).absolute()
    try:
        audit_lines.to_file(path, [])
    except OSError as error:
        raise Refused(f"[audit] destination {path}: {error.strerror}.") from None
    return Audit(partial(audit_lines.to_file, path))


def _http_basic(settings: Settings, state_dir: Path) -> HttpBasic:
    """By the two files; the first start makes the user admin and writes clouds.yaml."""
    ensure_admin(state_dir, url=f"http://{settings.api.listen}")
    try:
        return HttpBasic(state_dir / HTPASSWD, state_dir / USERS)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise Refused(f"The users in {state_dir}/{HTPASSWD} and {USERS}: {error}") from error


def _keystone(settings: KeystoneSettings, clock: Clock, stack: AsyncExitStack) -> Keystone:
    """By Keystone's tokens; it need not be there yet."""
    url = keystone_url(settings)
    http = httpx.AsyncClient(
        base_url=url, verify=_verifying(settings), timeout=settings.timeout_seconds, trust_env=False
    )
    stack.push_async_callback(http.aclose)
    user = ServiceUser(
        name=settings.username,
        password=lambda: keystone_password(settings),
        project=settings.project,
        user_domain=settings.user_domain,
        project_domain=settings.project_domain,
    )
    return Keystone(
        KeystoneClient(http, user, now=clock.now),
        uri=settings.public_url or url,
        cache_seconds=settings.cache_seconds,
        now=clock.now,
    )


def check(settings: Settings) -> None:
    """`Refused` names the setting with which nobody, or anybody, would be let in."""
    if settings.api.auth_strategy == "keystone":
        check_keystone(settings.keystone)
    if settings.api.auth_strategy == "noauth" and not settings.api.noauth_anywhere:
        host = settings.api.listen.rpartition(":")[0].strip("[]")
        if host != "localhost" and not _is_loopback(host):
            raise Refused(
                "With noauth everybody is an administrator, so it listens on this host's own "
                f"127.0.0.1 or ::1 and not on '{host}', unless [api] noauth_anywhere is true."
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_keystone(keystone: KeystoneSettings) -> None:
    """`Refused` names the setting with which nobody could log in."""
    if not keystone.auth_url.startswith(("http://", "https://")):
        raise Refused("[keystone] auth_url should be the address of Keystone, http:// or https://.")
    if (keystone.password is None) == (keystone.password_file is None):
        raise Refused("[keystone] should have one of password and password_file.")
    for name, file in (("password_file", keystone.password_file), ("cafile", keystone.cafile)):
        try:
            if file is not None:
                Path(file).read_bytes()
        except OSError as error:
            raise Refused(f"[keystone] {name} {file}: {error.strerror}.") from None


def keystone_url(settings: KeystoneSettings) -> str:
    """Where Keystone's v3 API is, whether or not the setting says so."""
    return settings.auth_url.rstrip("/").removesuffix("/v3") + "/v3"


def keystone_password(settings: KeystoneSettings) -> str:
    """The service user's password as it is now."""
    if settings.password_file is None:
        return settings.password or ""
    return Path(settings.password_file).read_text().rstrip("\r\n")


def _verifying(settings: KeystoneSettings) -> ssl.SSLContext | bool:
    try:
        return not settings.insecure and ssl.create_default_context(cafile=settings.cafile)
    except ssl.SSLError as error:
        raise Refused(f"[keystone] cafile {settings.cafile}: {error.reason}.") from None
