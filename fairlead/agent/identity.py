"""The agent's own certificate: what its listener shows, and the exchange for a newer one.

Invariants: it lies in boot.json with all else that the amphora was given, so that whoever wrote
that file last, controller or agent, decides what the next life of the agent begins with. A new one
is tried before it is stored, and stored before it is shown: what is refused changes nothing, and a
crash leaves either. Connections that are open keep what they began with. Called by server; made by
main.
"""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec

from fairlead.agent import log
from fairlead.agent.home import Home
from fairlead.errors import Fenced, Permanent
from fairlead.wire.amphora import Renewal, Renewed
from fairlead.wire.boot import Boot


class Identity:
    """Begins with what `boot` has; `ends` is when the certificate in force ends, if known."""

    def __init__(self, home: Home, boot: Boot) -> None:
        self._home, self._boot = home, boot
        self.ends = boot.not_after
        self.context = _tls_context(boot, home.directory)
        self._show: Callable[[ssl.SSLContext], None] = lambda context: None

    def shown_by(self, show: Callable[[ssl.SSLContext], None]) -> None:
        """Have `show` called with what new connections shall be met with from then on."""
        self._show = show

    def renew(self, new: Renewal) -> Renewed:
        """Store and show it; `Permanent` when it is no certificate with its key, or `Fenced`."""
        if new.epoch < self._home.epoch():
            raise Fenced(f"epoch {new.epoch} is older than {self._home.epoch()}")
        boot = msgspec.structs.replace(
            self._home.stored_boot() or self._boot,
            certificate=new.certificate,
            private_key=new.private_key,
            authority=new.authority,
            not_after=new.not_after,
        )
        try:
            context = _tls_context(boot, self._home.directory)
        except (ssl.SSLError, ValueError) as error:
            raise Permanent(f"the certificate cannot be used: {error}") from error
        self._home.raise_epoch(new.epoch)
        self._home.put_boot(boot)
        self.context, self.ends = context, new.not_after
        self._show(context)
        log.event("certificate renewed", ends=new.not_after.isoformat())
        return Renewed(not_after=new.not_after)


def _tls_context(boot: Boot, directory: Path) -> ssl.SSLContext:
    """TLS 1.3 with a client certificate required, signed by the amphora's authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=boot.authority)
    pair = directory / "tls.pem"
    try:
        with open(os.open(pair, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(boot.certificate + "\n" + boot.private_key)
        context.load_cert_chain(pair)
    finally:
        pair.unlink(missing_ok=True)
    return context
