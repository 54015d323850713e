"""What the first start leaves in the state directory: a user to begin with, and how to log in.

`ensure_admin` is called by the wiring before http_basic.py reads the files. clouds.yaml tells the
OpenStack tools (OS_CLIENT_CONFIG_FILE, --os-cloud) where the service is. The file htpasswd is put
in place last: it says that the others are there, so a start that was cut short makes them anew.
Files that open doors are 0600 from their first byte on.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import bcrypt
import msgspec

from fairlead.api.http_basic import Account
from fairlead.errors import Refused

ADMIN = "admin"
HTPASSWD = "htpasswd"
USERS = "users.yaml"
CLOUDS = "clouds.yaml"
CLOUD = "fairlead"


def ensure_admin(directory: Path, *, url: str, project_id: str = "default") -> None:
    """Make the user admin with a random password, told in clouds.yaml, unless users exist.

    `url` is the service's address, such as "http://127.0.0.1:9876". Somebody else's clouds.yaml,
    with no users.yaml written before it, is kept: `Refused`.
    """
    if (directory / HTPASSWD).exists():
        return
    if (directory / CLOUDS).exists() and not (directory / USERS).exists():
        raise Refused(
            f"{directory / CLOUDS} is there already and not Fairlead's, which would write its own. "
            "Move it, or choose another directory: --state-dir DIR"
        )
    password = secrets.token_urlsafe(18)
    known = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
    accounts = {ADMIN: Account(project_id=project_id, roles=("admin",))}
    write_private(directory / USERS, msgspec.yaml.encode(accounts))
    write_private(directory / CLOUDS, msgspec.yaml.encode(_clouds(url, ADMIN, password)))
    write_private(directory / HTPASSWD, f"{ADMIN}:{known}\n".encode())


def _clouds(url: str, username: str, password: str) -> dict[str, Any]:
    """The content of a clouds.yaml with the one cloud "fairlead"."""
    at = url.rstrip("/")
    cloud = {
        "auth_type": "http_basic",
        "auth": {"endpoint": at, "username": username, "password": password},
        "load_balancer_endpoint_override": at,
        "network_endpoint_override": f"{at}/v2.0",
        "key_manager_endpoint_override": f"{at}/v1",
    }
    return {"clouds": {CLOUD: cloud}}


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place whole, readable by its owner alone, who is that of the one before."""
    beside = path.with_name(f".{path.name}.new")
    before = path.stat() if path.exists() else None
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if before is not None and os.geteuid() == 0:
            os.fchown(file.fileno(), before.st_uid, before.st_gid)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
