"""TLS in haproxy.cfg: the words of bind and server lines, and the headers that tell of it.

PURE. Certificates are named by file; which file holds what a reference leads to is told by
`Files`. Members are known by address, so that their certificates are checked against the pool's
authority and not for a name. Written for haproxy 2.6 with OpenSSL 3.
"""

import hashlib
from collections.abc import Iterable, Mapping

from msgspec import Struct

from fairlead.domain import tls
from fairlead.domain.model import Listener, Pool
from fairlead.render.quoting import plain, word
from fairlead.wire.amphora import File

# Before 1.2 TLS signs with SHA-1, which OpenSSL 3 does at this level only.
_OLD = frozenset({"SSLv3", "TLSv1", "TLSv1.1"})
_AT_ANY_LEVEL = "@SECLEVEL=0"
_VERIFY = {"OPTIONAL": "optional", "MANDATORY": "required"}
_HEADERS = {
    "X-SSL-Client-Verify": "%[ssl_c_verify]",
    "X-SSL-Client-Has-Cert": "%[ssl_c_used]",
    "X-SSL-Client-DN": "%[ssl_c_s_dn]",
    "X-SSL-Client-CN": "%[ssl_c_s_dn(cn)]",
    "X-SSL-Issuer": "%[ssl_c_i_dn]",
    "X-SSL-Client-SHA1": "%[ssl_c_sha1,hex]",
    "X-SSL-Client-Not-Before": "%[ssl_c_notbefore]",
    "X-SSL-Client-Not-After": "%[ssl_c_notafter]",
}
INSERTED = {name: f"http-request set-header {name} {value}" for name, value in _HEADERS.items()}


class Files(Struct, frozen=True, kw_only=True):
    """Where the amphora keeps its certificates: file names by source (see domain/tls.py)."""

    directory: str
    names: Mapping[str, str] = {}

    def holds(self, resource: Listener | Pool) -> bool:
        """Whether everything that the object's TLS needs is there."""
        return all(need.source in self.names for need in tls.needs(resource))

    def of(self, kind: str, reference: str) -> str:
        """The path of what a reference leads to."""
        return self.path(self.names[tls.source(kind, reference)])

    def path(self, name: str) -> str:
        """The path of a file, as a word."""
        return plain(f"{self.directory}/{name}")


def bind_words(listener: Listener, files: Files) -> str:
    """What makes a bind line speak TLS, with a leading blank; nothing on other listeners."""
    if not tls.capable(listener):
        return ""
    first, *others = _certificates(listener)
    words = ["", "ssl", f"crt {files.of('bundle', first)}"]
    if others:
        words.append(f"crt-list {files.path(_choice(others, files).name)}")
    if listener.client_ca_tls_container_ref and listener.client_authentication != "NONE":
        words.append(f"ca-file {files.of('text', listener.client_ca_tls_container_ref)}")
        words.append(f"verify {_VERIFY[listener.client_authentication]}")
        if listener.client_crl_container_ref:
            words.append(f"crl-file {files.of('text', listener.client_crl_container_ref)}")
    return " ".join([*words, *_shape(listener), *_alpn(listener)])


def choices(listeners: Iterable[Listener], files: Files) -> tuple[File, ...]:
    """The files that list the certificates to choose from by SNI."""
    found = [_certificates(one)[1:] for one in listeners if tls.capable(one)]
    return tuple(_choice(others, files) for others in found if others)


def _certificates(listener: Listener) -> list[str]:
    """References, the one for clients that name no known host first."""
    default = [r for r in [listener.default_tls_container_ref] if r]
    return list(dict.fromkeys([*default, *listener.sni_container_refs]))


def _choice(references: Iterable[str], files: Files) -> File:
    paths = [
        f"{files.directory}/{files.names[tls.source('bundle', one)]}" for one in references
    ]  # fmt: skip
    content = "".join(f"{path}\n" for path in paths)
    return File(name=f"{hashlib.sha256(content.encode()).hexdigest()[:32]}.list", content=content)


def server_words(pool: Pool, files: Files, *, http: bool) -> list[str]:
    """What makes a server line speak TLS; nothing in pools that do not.

    Which protocol a stream without HTTP is of is between client and member: no ALPN there.
    """
    if not pool.tls_enabled:
        return []
    words = ["ssl", "verify none"]
    if pool.ca_tls_container_ref:
        words = ["ssl", f"verify required ca-file {files.of('text', pool.ca_tls_container_ref)}"]
        if pool.crl_container_ref:
            words.append(f"crl-file {files.of('text', pool.crl_container_ref)}")
    if pool.tls_container_ref:
        words.append(f"crt {files.of('bundle', pool.tls_container_ref)}")
    return [*words, *_shape(pool), *(_alpn(pool) if http else []), *_check_alpn(pool, http)]


def strict_transport(listener: Listener) -> list[str]:
    """The line that adds HSTS, also to what haproxy answers by itself."""
    if listener.hsts_max_age is None:
        return []
    parts = [f"max-age={listener.hsts_max_age}"]
    parts += ["includeSubDomains"] if listener.hsts_include_subdomains else []
    parts += ["preload"] if listener.hsts_preload else []
    value = word("; ".join(parts))
    return [f"http-after-response set-header Strict-Transport-Security {value}"]


def _check_alpn(pool: Pool, http: bool) -> list[str]:
    """Checks are HTTP/1 where members speak it: HTTP/2 demands a Host, which not every check has.

    Left alone, a check offers what traffic does, and speaks HTTP/1 whatever was chosen.
    """
    offered = pool.alpn_protocols or ()
    chosen = [one for one in offered if one != "h2"] or offered
    return [f"check-alpn {','.join(chosen)}"] if http and chosen else []


def _shape(speaker: Listener | Pool) -> list[str]:
    """Ciphers and versions."""
    versions = [v for v in tls.VERSIONS if v in (speaker.tls_versions or ())]
    older, newer = tls.split_ciphers(speaker.tls_ciphers or "")
    lowest, highest = versions[0], versions[-1]
    if newer and not older and highest == "TLSv1.3":
        lowest = "TLSv1.3"  # Nothing was named that an older version could use.
    if older and lowest in _OLD and "@SECLEVEL" not in older:
        older = f"{older}:{_AT_ANY_LEVEL}"
    words = [f"ciphers {plain(older)}"] if older else []
    words += [f"ciphersuites {plain(newer)}"] if newer else []
    return [*words, f"ssl-min-ver {_spelled(lowest)} ssl-max-ver {_spelled(highest)}"]


def _spelled(version: str) -> str:
    return "TLSv1.0" if version == "TLSv1" else version


def _alpn(speaker: Listener | Pool) -> list[str]:
    return [f"alpn {','.join(speaker.alpn_protocols)}"] if speaker.alpn_protocols else []
