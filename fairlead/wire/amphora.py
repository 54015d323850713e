"""What the controller and an amphora's agent say to each other over mutual TLS.

PURE. The controller sends a whole `AmphoraConfig` (PUT /v1/config) and gets `Applied` or
`Rejected`; it asks for `AgentStatus` (GET /v1/status), and brings a new certificate
(PUT /v1/certificate: `Renewal`, answered by `Renewed` or `Rejected`; 404 by earlier releases).
The agent builds nothing: haproxy.cfg arrives finished. `servers` repeats the server lines of that
file as data, so that the agent can make the running haproxy match through its runtime API when
nothing else in the file changed.
A request's Host header is the amphora's id; another amphora's agent answers 421.
Bodies are JSON. Imported by render (makes it), drivers/amphora_rest (sends it), agent (applies).
"""

import hashlib
from datetime import datetime

import msgspec
from msgspec import Struct

from fairlead.wire.heartbeat import Report

AGENT_PORT = 9443
CERTIFICATE_PATH = "/v1/certificate"
CONFIG_PATH = "/v1/config"
STATUS_PATH = "/v1/status"
# The directory of `AmphoraConfig.files`, in the agent's own.
CERTIFICATES = "certificates"


class Route(Struct, frozen=True, kw_only=True):
    """A static route: `destination` in CIDR form ("0.0.0.0/0" is the default route)."""

    destination: str
    via: str


class Interface(Struct, frozen=True, kw_only=True):
    """A network card of the amphora, found by `mac`, with the addresses and routes it shall have.

    `addresses` are in prefix form ("192.0.2.10/24"); the first of a family is the source of
    traffic to members. Every address of the card that is not listed is removed (link-local
    IPv6 excepted). The management card is never listed and never touched. Those of `addresses`
    that are `virtual` may be another amphora's until this one serves: they are taken when haproxy
    answers, and whenever they are confirmed the neighbours are told.
    """

    mac: str
    addresses: tuple[str, ...]
    virtual: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    mtu: int = 1500


class Server(Struct, frozen=True, kw_only=True):
    """One `server` line of a backend.

    The line in haproxy.cfg is `server {name} {address}:{port} {options} weight {weight}`, plus
    ` disabled` unless `enabled`. `options` are the keywords that only `add server` can set.
    `dynamic` is false where haproxy cannot add or remove such a server while it runs.
    """

    backend: str
    name: str
    address: str
    port: int
    weight: int
    enabled: bool
    options: str
    dynamic: bool = True


class File(Struct, frozen=True, kw_only=True):
    """A file beside haproxy.cfg: certificates with keys, authorities, lists of certificates.

    `name` is made from the digest of what is in it, so that equal names mean equal files.
    `content` None means one that the amphora holds already.
    """

    name: str
    content: str | None

    def __repr__(self) -> str:
        return f"File({self.name})"


class AmphoraConfig(Struct, frozen=True, kw_only=True):
    """Everything an amphora shall do.

    `revision` is the digest of all other fields but `epoch`: equal revisions, equal behaviour.
    `skeleton` is the digest of haproxy.cfg without its server lines: while it stays the same,
    the runtime API can make the change. An empty `haproxy_cfg` means that no listener exists
    and haproxy need not run. An `epoch` below one seen before is refused (fencing). `files` are
    all that haproxy.cfg names; `sources` tells which of them was read from which place, so that
    who cannot read there at the moment may name the file again.
    """

    epoch: int
    revision: str
    haproxy_cfg: str
    skeleton: str
    servers: tuple[Server, ...]
    interfaces: tuple[Interface, ...]
    files: tuple[File, ...] = ()
    sources: dict[str, str] = {}


class Applied(Struct, frozen=True, kw_only=True):
    """The configuration is in force; `how` is "unchanged", "runtime", "reload" or "start"."""

    revision: str
    how: str


class Rejected(Struct, frozen=True, kw_only=True):
    """What was asked was refused and the last good configuration still runs.

    `kind` is "check" (the configuration is wrong; `reason` is the checking program's own words),
    "request" (it cannot be read, or is too large), "misdirected" (it is for another amphora),
    "fenced" (an older epoch) or "failed" (a try later may work).
    """

    kind: str
    reason: str


class AgentStatus(Struct, frozen=True, kw_only=True):
    """What the agent knows: `revision` is what is in force, None before the first one.

    `held` are the names of files it holds, by the source each was read from. `not_after` is when
    the certificate ends that new connections are shown; None when the agent does not know.
    """

    amphora_id: str
    revision: str | None
    report: Report
    held: dict[str, str] = {}
    not_after: datetime | None = None


class Renewal(Struct, frozen=True, kw_only=True):
    """A new certificate for the agent with its key, and who signs both sides from now on (PEM).

    An `epoch` below one seen before is refused (fencing).
    """

    epoch: int
    certificate: str
    private_key: str
    authority: str
    not_after: datetime

    def __repr__(self) -> str:
        return f"Renewal({self.not_after:%Y-%m-%d %H:%M:%S})"


class Renewed(Struct, frozen=True, kw_only=True):
    """Who connects from now on is shown the new certificate, which ends then."""

    not_after: datetime


def revision_of(config: AmphoraConfig) -> str:
    """Digest of all that shapes an amphora's behaviour, as 32 hex digits."""
    plain = msgspec.structs.replace(without_contents(config), epoch=0, revision="")
    return hashlib.sha256(msgspec.msgpack.encode(plain, order="deterministic")).hexdigest()[:32]


def without_contents(config: AmphoraConfig) -> AmphoraConfig:
    """The configuration with its files by name only: no keys in it."""
    bare = tuple(File(name=one.name, content=None) for one in config.files)
    return msgspec.structs.replace(config, files=bare)
