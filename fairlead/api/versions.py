"""Version discovery: what clients ask before they ask anything else. No credentials needed.

There is no version header: clients only look at the newest minor version to know which fields
exist. Every field of every minor version is known here; options that the provider does not
have yet are refused by name.
"""

from typing import Any

from litestar import Request

NEWEST_MINOR = 30
_UPDATED = "2026-10-01T00:00:00Z"


def version_document(request: Request[Any, Any, Any], address: str) -> dict[str, Any]:
    """The document at "/": every minor version, the newest one CURRENT.

    Clients of a key manager say so in a header, and get what they look for. `address` is where
    clients reach the service, without a slash at the end, here as below.
    """
    if request.headers.get("openstack-api-version", "").startswith("key-manager"):
        return {"versions": [_secret_version(address)]}
    href = f"{address}/v2"
    return {
        "versions": [
            {
                "id": f"v2.{minor}",
                "status": "CURRENT" if minor == NEWEST_MINOR else "SUPPORTED",
                "updated": _UPDATED,
                "links": [{"href": href, "rel": "self"}],
            }
            for minor in range(NEWEST_MINOR + 1)
        ]
    }


def network_version_document(address: str) -> dict[str, Any]:
    """The document that clients of the network API look for at "/v2.0"."""
    href = f"{address}/v2.0"
    links = [{"href": href, "rel": "self"}]
    return {"version": {"id": "v2.0", "status": "CURRENT", "links": links}}


def secret_version_document(address: str) -> dict[str, Any]:
    """The document that clients of the key manager look for at "/v1"."""
    return {"version": _secret_version(address)}


def _secret_version(address: str) -> dict[str, Any]:
    """Barbican's first version; "stable" tells clients that there is no newer minor one."""
    href = f"{address}/v1/"
    return {
        "id": "v1",
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"href": href, "rel": "self"}],
    }
