"""What an amphora is given before its agent first starts.

PURE. The compute driver writes it as boot.json (0600) into the amphora's own directory, where
the agent reads it. A private key comes to an
amphora this way, and when it is renewed over mutual TLS (wire/amphora.py).
"""

from datetime import datetime

from msgspec import Struct


class Boot(Struct, frozen=True, kw_only=True):
    """Identity and surroundings of one amphora.

    `listen` is the management address the agent serves mutual TLS on (port `agent_port`).
    PEM texts: `certificate` and `private_key` are the amphora's; `authority` signs both sides.
    `not_after` is when the certificate ends, None in what an earlier release wrote.
    `heartbeat_key` signs heartbeats to every `health_managers` entry ("address:port", IPv6 in
    brackets), about every `heartbeat_interval` seconds.
    """

    amphora_id: str
    listen: str
    agent_port: int
    certificate: str
    private_key: str
    authority: str
    heartbeat_key: bytes
    health_managers: tuple[str, ...]
    heartbeat_interval: float = 5.0
    not_after: datetime | None = None
