"""Credentials of the in-memory world: they open nothing, but the heartbeat keys are true."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count

from fairlead.domain import lifetimes
from fairlead.drivers.fake.world import MASTER_KEY
from fairlead.ports import Credentials
from fairlead.wire.heartbeat import derive_key

_YEAR = timedelta(days=365)


class FakeSecrets:
    """Texts in place of certificates, no two of them the same."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        life: timedelta = _YEAR,
        authority_life: timedelta = 10 * _YEAR,
    ) -> None:
        self.life = life
        self._now = now
        self._authority = (now() + authority_life, authority_life)
        self._serial = count(1)
        self._controller = self._made("the controller")

    async def issue(self, amphora_id: str, address: str) -> Credentials:
        """As the port."""
        return self._made(f"{amphora_id} at {address}")

    async def controller(self) -> Credentials:
        """As the port."""
        if lifetimes.is_due(self._controller.not_after, self.life, self._now()):
            self._controller = self._made("the controller")
        return self._controller

    def late(self) -> tuple[str, ...]:
        """As the port."""
        late = lifetimes.is_late(*self._authority, self._now())
        return ("The authority ends soon.",) if late else ()

    def heartbeat_key(self, amphora_id: str) -> bytes:
        """Derived from a master key that everybody knows."""
        return derive_key(MASTER_KEY, amphora_id)

    def _made(self, subject: str) -> Credentials:
        serial = next(self._serial)
        return Credentials(
            certificate=f"certificate {serial} of {subject}",
            private_key=f"no key {serial}",
            authority="no authority",
            not_after=self._now() + self.life,
        )
