"""TLS of listeners and pools: who speaks it, what goes without saying, what is refused.

PURE. `adjusted` fills in a deployment's defaults and refuses what it forbids, in what was said
only: a policy that got stricter does not break what is there. `check_listener` and `check_pool`
are the rules that hold everywhere. `needs` are the references that must be read to make an object
work; what they lead to is checked in certificates.py. Called by rules.py, the API and render.
"""

import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from fairlead.domain.bodies import refused, settable
from fairlead.domain.model import Listener, Pool, Resource
from fairlead.domain.tls_fields import AlpnProtocol, TlsVersion
from fairlead.domain.tree import Tree
from fairlead.errors import Refused

VERSIONS: tuple[TlsVersion, ...] = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# OpenSSL configures the suites of TLS 1.3 apart from all others.
SUITES_1_3 = frozenset({
    "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256",
    "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256",
})  # fmt: skip
_CIPHERS = ":".join([
    "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-GCM-SHA256",
])  # fmt: skip
_SHAPED = ("tls_ciphers", "tls_versions", "alpn_protocols")
_REFERENCES: dict[str, tuple[tuple[str, Literal["bundle", "text"]], ...]] = {
    "listener": (
        ("default_tls_container_ref", "bundle"), ("sni_container_refs", "bundle"),
        ("client_ca_tls_container_ref", "text"), ("client_crl_container_ref", "text"),
    ),
    "pool": (
        ("tls_container_ref", "bundle"), ("ca_tls_container_ref", "text"),
        ("crl_container_ref", "text"),
    ),
}  # fmt: skip
# A revocation list is checked with the authorities that this field names.
AUTHORITY_OF = {
    "client_crl_container_ref": "client_ca_tls_container_ref",
    "crl_container_ref": "ca_tls_container_ref",
}
REFERENCES = {kind: frozenset(n for n, _ in rows) for kind, rows in _REFERENCES.items()}
_ONLY_WITH_TLS = (
    *REFERENCES["listener"], "client_authentication", *_SHAPED,
    "hsts_max_age", "hsts_include_subdomains", "hsts_preload",
)  # fmt: skip


class TlsPolicy(Struct, frozen=True, kw_only=True):
    """What a deployment allows, and what it chooses where its users say nothing."""

    allow_tls_terminated_listeners: bool = True
    default_listener_ciphers: str = _CIPHERS
    default_pool_ciphers: str = _CIPHERS
    prohibited_ciphers: tuple[str, ...] = ()
    default_listener_versions: tuple[TlsVersion, ...] = ("TLSv1.2", "TLSv1.3")
    default_pool_versions: tuple[TlsVersion, ...] = ("TLSv1.2", "TLSv1.3")
    minimum_version: TlsVersion | None = None
    default_listener_alpn_protocols: tuple[AlpnProtocol, ...] = ("h2", "http/1.1", "http/1.0")
    default_pool_alpn_protocols: tuple[AlpnProtocol, ...] = ("h2", "http/1.1", "http/1.0")

    def defaults(self, kind: str) -> dict[str, Any]:
        """The shape of TLS of a listener or pool of which nothing was said."""
        return {
            "tls_ciphers": getattr(self, f"default_{kind}_ciphers"),
            "tls_versions": getattr(self, f"default_{kind}_versions"),
            "alpn_protocols": getattr(self, f"default_{kind}_alpn_protocols"),
        }

    def check(self, values: Mapping[str, Any]) -> None:
        """`Refused` when one of the values is not allowed here."""
        if values.get("tls_ciphers"):
            _check_ciphers(values["tls_ciphers"], frozenset(self.prohibited_ciphers))
        lowest = VERSIONS.index(self.minimum_version) if self.minimum_version else 0
        below = [v for v in values.get("tls_versions") or () if VERSIONS.index(v) < lowest]
        if below:
            raise Refused(
                "Validation failure: Requested TLS versions are less than the minimum: "
                f"{', '.join(below)} < {self.minimum_version}"
            )


class Need(Struct, frozen=True, kw_only=True):
    """A reference that an object's TLS needs to be read, and the field that holds it."""

    field: str
    reference: str
    kind: Literal["bundle", "text"]

    @property
    def source(self) -> str:
        """What it is known by between controller and amphora."""
        return source(self.kind, self.reference)


def source(kind: str, reference: str) -> str:
    """The same reference read as a bundle and as text are two things."""
    return f"{kind} {reference}"


def capable(listener: Listener) -> bool:
    """Whether clients speak TLS to the listener itself."""
    referred = bool(listener.default_tls_container_ref or listener.sni_container_refs)
    return listener.protocol == "TERMINATED_HTTPS" or (
        listener.protocol == "PROMETHEUS" and referred
    )


def needs(resource: Resource) -> tuple[Need, ...]:
    """What the object's TLS needs to be read, without repetition."""
    match resource:
        case Listener() if capable(resource):
            pass
        case Pool(tls_enabled=True):
            pass
        case _:
            return ()
    found = []
    for name, kind in _REFERENCES[resource.KIND]:
        value = getattr(resource, name) or ()
        for one in (value,) if isinstance(value, str) else value:
            found.append(Need(field=name, reference=one, kind=kind))
    return tuple(found)


def needs_of(tree: Tree) -> tuple[Need, ...]:
    """What all that is in service needs, each thing once."""
    if tree.deleted or not tree.root.admin_state_up:
        return ()
    speakers: list[Resource] = []
    for listener in tree.listeners:
        if listener.admin_state_up:
            used = [pool for pool in tree.pools_used_by(listener.id) if pool.admin_state_up]
            speakers += [listener, *used]
    return tuple({need.source: need for one in speakers for need in needs(one)}.values())


def adjusted(
    resource: Listener | Pool, given: Mapping[str, Any], policy: TlsPolicy
) -> Listener | Pool:
    """The object with the defaults of its TLS; `Refused` where `policy` forbids what was said."""
    if isinstance(resource, Listener):
        if "protocol" in given and resource.protocol == "TERMINATED_HTTPS":
            _check_terminated(policy)
        spoken = capable(resource)
    else:
        spoken = resource.tls_enabled
    if not spoken:
        lost = [n for n in _SHAPED if isinstance(resource, Listener) and n not in given]
        return msgspec.structs.replace(resource, **dict.fromkeys(lost))
    policy.check(given)
    defaults = policy.defaults(resource.KIND)
    missing = {n: v for n, v in defaults.items() if getattr(resource, n) is None}
    return msgspec.structs.replace(resource, **missing)


def _check_terminated(policy: TlsPolicy) -> None:
    if not policy.allow_tls_terminated_listeners:
        raise Refused("The selected protocol is not allowed in this deployment: TERMINATED_HTTPS")


def check_listener(listener: Listener) -> None:
    """Refuse TLS without a certificate, parts of it without what they rest on, or off TLS."""
    if not capable(listener):
        _check_absent(listener)
        return
    if not (listener.default_tls_container_ref or listener.sni_container_refs):
        raise Refused(
            "Validation failure: An SNI or default certificate container reference must be "
            f"provided for {listener.protocol} listeners."
        )
    if listener.client_authentication != "NONE" and not listener.client_ca_tls_container_ref:
        raise Refused(
            f"Validation failure: Client authentication setting {listener.client_authentication} "
            "requires a client CA container reference."
        )
    if listener.client_crl_container_ref and not listener.client_ca_tls_container_ref:
        raise Refused(
            "Validation failure: A client authentication CA reference is required to specify a "
            "client authentication revocation list."
        )
    _check_versions(listener)
    _check_hsts(listener)


def _check_absent(listener: Listener) -> None:
    for name in _ONLY_WITH_TLS:
        value = getattr(listener, name)
        if value not in ((), settable("listener", at_creation=True)[name].default):
            why = f"A {listener.protocol} listener that terminates no TLS cannot have it."
            raise refused(name, value, why)


def _check_hsts(listener: Listener) -> None:
    asked = listener.hsts_include_subdomains or listener.hsts_preload
    if listener.protocol != "TERMINATED_HTTPS" and (asked or listener.hsts_max_age is not None):
        raise Refused(
            "Validation failure: The HSTS feature can only be used for listeners using the "
            "TERMINATED_HTTPS protocol."
        )
    if asked and listener.hsts_max_age is None:
        raise Refused(
            "Validation failure: HSTS configuration options hsts_include_subdomains and "
            "hsts_preload only make sense if hsts_max_age is set."
        )


def check_pool(pool: Pool) -> None:
    """Refuse a revocation list without authorities, and TLS where there are no streams."""
    if pool.crl_container_ref and not pool.ca_tls_container_ref:
        raise Refused(
            "Validation failure: A CA reference is required to specify a certificate revocation "
            "list."
        )
    if pool.tls_enabled and pool.protocol in ("UDP", "SCTP"):
        raise refused("tls_enabled", True, f"A {pool.protocol} pool cannot speak TLS.")
    _check_versions(pool)


def _check_versions(speaker: Listener | Pool) -> None:
    """Haproxy takes a lowest and a highest version, and OpenSSL speaks no SSLv3 any more."""
    chosen = [VERSIONS.index(v) for v in speaker.tls_versions or ()]
    if chosen and max(chosen) - min(chosen) >= len(chosen):
        raise refused("tls_versions", speaker.tls_versions, "No version between others may lack.")
    if chosen and max(chosen) == VERSIONS.index("SSLv3"):
        raise refused("tls_versions", speaker.tls_versions, "One newer than SSLv3 is needed.")


def split_ciphers(text: str) -> tuple[str, str]:
    """The part of a cipher list that is for TLS up to 1.2, and the part for TLS 1.3."""
    words = text.split(":")
    older = [word for word in words if word not in SUITES_1_3]
    return ":".join(older), ":".join(word for word in words if word in SUITES_1_3)


def _check_ciphers(text: str, prohibited: Iterable[str]) -> None:
    """`Refused` unless OpenSSL can choose from the list, and nothing in it is prohibited."""
    older, _ = split_ciphers(text)
    chosen = set(text.split(":"))
    if older:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.set_ciphers(older)
        except ssl.SSLError:
            raise refused("tls_ciphers", text, "OpenSSL knows no cipher of this list.") from None
        chosen |= {c["name"] for c in context.get_ciphers() if c["name"] not in SUITES_1_3}
    found = sorted(chosen & set(prohibited))
    if found:
        raise Refused(
            "Validation failure: The following ciphers have been prohibited by an "
            f"administrator: {', '.join(found)}"
        )
