"""A third party's provider driver, behind the port.

Drivers are blocking code of others: each call runs in a thread of its own, with an instance of
its own (as Octavia has it, so nothing in a driver need be safe against itself), within a time
bound. A call that comes back after that has told of something which was not stored: then it is
taken back. Made by the wiring, called by the API.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog

from fairlead.domain.model import LoadBalancer
from fairlead.domain.observed import Vip
from fairlead.domain.tree import Tree
from fairlead.drivers.provider_octavia_lib import vips
from fairlead.drivers.provider_octavia_lib.calls import DriverCall, driver_call
from fairlead.drivers.provider_octavia_lib.faults import translated
from fairlead.drivers.provider_octavia_lib.loading import DRIVERS, load
from fairlead.drivers.provider_octavia_lib.tellings import Tellings
from fairlead.drivers.provider_octavia_lib.threads import begin
from fairlead.errors import Broken, FairleadError, Unsupported
from fairlead.plan.telling import Told, told, undone
from fairlead.ports import Vault

log = structlog.get_logger()
_AT_ONCE = 16
"""Calls of one driver at once, those included that were given up on and still hang."""


class OctaviaLibProvider:
    """One enabled provider; its driver is looked for when it is first needed."""

    own = False

    def __init__(
        self, name: str, description: str, *, vault: Vault, tellings: Tellings, seconds: float
    ) -> None:
        """`seconds` is how long a call may take."""
        self.name = name
        self.description = description
        self._vault = vault
        self._tellings = tellings
        self._seconds = seconds
        self._driver: Any = None
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._aftermath: set[asyncio.Task[None]] = set()

    async def flavor_capabilities(self) -> Mapping[str, str]:
        """As the port; `Unsupported` for a driver that knows no flavors."""
        return _texts(await self._ask("get_supported_flavor_metadata"))

    async def zone_capabilities(self) -> Mapping[str, str]:
        """As the port; `Unsupported` for a driver that knows no zones."""
        return _texts(await self._ask("get_supported_availability_zone_metadata"))

    async def validate_flavor(self, data: Mapping[str, Any]) -> None:
        """As the port."""
        await self._ask("validate_flavor", dict(data))

    async def validate_zone(self, data: Mapping[str, Any]) -> None:
        """As the port."""
        await self._ask("validate_availability_zone", dict(data))

    async def allocate_vip(self, root: LoadBalancer) -> Vip | None:
        """As the port."""
        asked, more = vips.asked(root)
        try:
            made = await self._ask("create_vip_port", root.id, root.project_id, asked, more)
        except Unsupported as error:
            if error.asked != "action":
                raise
            return None
        return vips.answered(self.name, root, made)

    @asynccontextmanager
    async def changing(self, before: Tree | None, after: Tree) -> AsyncIterator[None]:
        """As the port."""
        done: list[Told] = []
        with self._tellings.about(after):
            try:
                for call in told(before, after):
                    await self._tell(call, before, after)
                    done.append(call)
                yield
            except BaseException:
                # One by one, and within the store's turn: what is told next shall be the last word.
                await asyncio.shield(self._later(self._take_back(done[::-1], before, after)))
                raise

    async def _tell(self, call: Told, before: Tree | None, after: Tree) -> None:
        ready = await driver_call(call, before or after, after, self._vault)
        future = await self._begin(ready)
        try:
            await self._within_bounds(future, ready.function)
        except BaseException:
            if not future.done():
                self._later(self._take_back_late(future, call, before, after))
            raise

    async def _take_back_late(
        self, future: "asyncio.Future[Any]", call: Told, before: Tree | None, after: Tree
    ) -> None:
        """For a call that nobody waits for any more: when it works after all, take it back."""
        await asyncio.wait([future])
        if future.exception() is None:
            await self._take_back([call], before, after)

    async def _take_back(self, calls: Sequence[Told], before: Tree | None, after: Tree) -> None:
        for back in filter(None, map(undone, calls)):
            await self._tell_back(back, before, after)

    async def _tell_back(self, back: Told, before: Tree | None, after: Tree) -> None:
        log.warning("telling a driver that nothing was stored", provider=self.name,
                    verb=back.verb, kind=back.kind, id=back.object_id)  # fmt: skip
        try:
            ready = await driver_call(back, after, before or after, self._vault)
            await self._within_bounds(await self._begin(ready), ready.function)
        except FairleadError as error:
            log.error("a driver knows of something that is not stored", provider=self.name,
                      kind=back.kind, id=back.object_id, reason=str(error))  # fmt: skip

    async def _ask(self, function: str, *arguments: Any) -> Any:
        call = DriverCall(function=function, arguments=arguments)
        return await self._within_bounds(await self._begin(call), function)

    async def _begin(self, call: DriverCall) -> "asyncio.Future[Any]":
        """Start a call in a thread, once there is a place for it."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise self._silent(call.function) from error
        future = begin(lambda: self._run(call))
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        self._places.release()
        if not future.cancelled():
            future.exception()  # seen, also when nobody waits any more

    def _run(self, call: DriverCall) -> Any:
        """In the thread: load if need be, make an instance, call."""
        try:
            if self._driver is None:
                self._driver = load(DRIVERS, self.name)
            driver = self._driver()
            driver.name = self.name
            return getattr(driver, call.function)(*call.arguments, **call.named)
        except BaseException as error:
            raise translated(self.name, call.function, error) from error

    async def _within_bounds(self, future: "asyncio.Future[Any]", function: str) -> Any:
        done, _ = await asyncio.wait([future], timeout=self._seconds)
        if not done:
            raise self._silent(function)
        return future.result()

    def _silent(self, function: str) -> Broken:
        log.error("a driver does not answer", provider=self.name, function=function)
        return Broken(self.name, f"It did not answer within {self._seconds:g} seconds.")

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have it done, also when nobody waits for it."""
        task = asyncio.create_task(work)
        self._aftermath.add(task)
        task.add_done_callback(self._aftermath.discard)
        return task


def _texts(found: Any) -> Mapping[str, str]:
    return {str(key): str(value) for key, value in dict(found or {}).items()}
