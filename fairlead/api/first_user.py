"""What the first start leaves in the state directory: a user to begin with, and how to log in.

`create_admin` is called by the wiring before http_basic.py reads the files; it does nothing when
they exist. `write_clouds` tells the OpenStack tools (OS_CLIENT_CONFIG_FILE, --os-cloud) where
the service is. Files that open doors are 0600 from their first byte on.
"""

import os
import secrets
from pathlib import Path

import bcrypt
import msgspec

from fairlead.api.http_basic import Account

ADMIN = "admin"
HTPASSWD = "htpasswd"
USERS = "users.yaml"
CLOUDS = "clouds.yaml"
CLOUD = "fairlead"


def create_admin(directory: Path, *, project_id: str = "default") -> str | None:
    """Make the user admin with a random password and return it; None if users exist already."""
    htpasswd, users = directory / HTPASSWD, directory / USERS
    if htpasswd.exists():
        return None
    password = secrets.token_urlsafe(18)
    known = bcrypt.hashpw(password.encode(), bcrypt.gensalt()).decode()
    accounts = {ADMIN: Account(project_id=project_id, roles=("admin",))}
    _write(users, msgspec.yaml.encode(accounts))
    _write(htpasswd, f"{ADMIN}:{known}\n".encode())
    return password


def write_clouds(directory: Path, *, url: str, username: str, password: str) -> Path:
    """Write clouds.yaml with the one cloud "fairlead" and return its path.

    `url` is the service's address, such as "http://127.0.0.1:9876".
    """
    at = url.rstrip("/")
    cloud = {
        "auth_type": "http_basic",
        "auth": {"endpoint": at, "username": username, "password": password},
        "load_balancer_endpoint_override": at,
        "network_endpoint_override": f"{at}/v2.0",
    }
    path = directory / CLOUDS
    _write(path, msgspec.yaml.encode({"clouds": {CLOUD: cloud}}))
    return path


def _write(path: Path, content: bytes) -> None:
    """Put a file in place whole, readable by its owner alone."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
